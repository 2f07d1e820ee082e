package base_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/base"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

// The services accept any characters in a password, reject wrong passwords, and do
// not show the password in the process list.
func TestTheSidecarsAreRealServicesBehindTheirPasswords(t *testing.T) {
	t.Parallel()
	b := builder(t)
	img, err := b.Sidecars(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := unpack(t, img)
	work := t.TempDir()
	const password = "s3cret'\"\\|&/$ *#%{}`\u00e6\nsecond line"
	const script = `set -e
mount -t tmpfs tmpfs "$WORK"
mkdir "$WORK/new" "$WORK/work" "$WORK/root"
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$WORK/new,workdir=$WORK/work" "$WORK/root"
cd "$WORK/root"
mount -t proc proc proc
mount --rbind /dev dev
ip link set lo up
in_root() { env -i "PATH=$IMAGE_PATH" "${@:1:$#-1}" /usr/sbin/chroot . "${@: -1}"; }
as_postgres() { in_root POSTGRES_USER='net"box' POSTGRES_DB=net-box "POSTGRES_PASSWORD=$1" "$2"; }
as_redis() { in_root "REDIS_PASSWORD=$1" "$2"; }
as_postgres "$PASSWORD" "$POSTGRES" >"$WORK/postgres.log" 2>&1 &
as_redis "$PASSWORD" "$REDIS" >"$WORK/redis.log" 2>&1 &
for service in "as_postgres $POSTGRES_READY" "as_redis $REDIS_READY"; do
	read -r as ready <<<"$service"
	for ((i = 0; ; i++)); do
		if $as "$PASSWORD" "$ready" >/dev/null 2>&1; then break; fi
		if [ $i = 200 ]; then echo "$ready never succeeds"; cat "$WORK"/*.log; exit 1; fi
		sleep 0.05
	done
	if $as wrong "$ready" >/dev/null 2>&1; then echo "$ready takes a wrong password"; fi
done
PGPASSWORD=$PASSWORD PATH=$IMAGE_PATH chroot . psql -h 127.0.0.1 -U 'net"box' -d net-box -Atc "select 'version', current_setting('server_version_num')::int / 10000, current_database()"
REDISCLI_AUTH=$PASSWORD PATH=$IMAGE_PATH chroot . redis-cli info server | grep redis_version
seen=0
for p in proc/[0-9]*; do
	case $(readlink "$p/exe") in
	*postgres | *redis*) seen=$((seen + 1)) && tr '\0' ' ' <"$p/cmdline" && echo && tr '\0' '\n' <"$p/environ" ;;
	esac
done
cat "$WORK"/*.log
[ $seen -gt 2 ] && echo "looked at processes"
exit 0`
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "bash", "-c", script)
	cmd.Env = append(os.Environ(), "LOWER="+r.dir, "WORK="+work, "PASSWORD="+password, "IMAGE_PATH="+strings.TrimPrefix(r.config.Env[0], "PATH="),
		"POSTGRES="+base.PostgreSQL().Entrypoint[0], "POSTGRES_READY="+base.PostgreSQL().Ready[0],
		"REDIS="+base.Redis().Entrypoint[0], "REDIS_READY="+base.Redis().Ready[0])
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v; output:\n%s", err, &out)
	}
	o := outcome{out: out.String()}
	pins, err := versions.Load("../..")
	if err != nil {
		t.Fatal(err)
	}
	o.has(t, fmt.Sprintf("version|%d|net-box\n", pins.Sidecars.Postgres.Major), fmt.Sprintf("redis_version:%d.", pins.Sidecars.Redis.Major), "looked at processes\n")
	o.lacks(t, "takes a wrong password", "s3cret")
}
