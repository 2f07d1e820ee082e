package base

import "github.com/linuxserver/docker-netbox/pipeline/engine"

// PostgreSQL reads POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB as the
// official image does, and listens on port 5432 of every address.
func PostgreSQL() engine.Container {
	return engine.Container{Entrypoint: []string{"/usr/local/bin/postgres-run"}, Ready: []string{"/usr/local/bin/postgres-ready"}}
}

// Redis reads REDIS_PASSWORD and listens on port 6379 of every address.
func Redis() engine.Container {
	return engine.Container{Entrypoint: []string{"/usr/local/bin/redis-run"}, Ready: []string{"/usr/local/bin/redis-ready"}}
}

// sidecarPackages are the real services. They are unpacked only: no
// installation script runs, which would start clusters and make keys.
var sidecarPackages = []string{
	"base-files", "bash", "coreutils", "dash", "tzdata", "util-linux",
	"postgresql-17", "redis-server", "redis-tools",
}

const sidecarPath = "/usr/lib/postgresql/17/bin:/usr/local/bin:/usr/bin:/usr/sbin"

// sidecarAccounts writes what the installation scripts would have.
const sidecarAccounts = `cat >"$1/etc/passwd" <<'END' && cat >"$1/etc/group" <<'END'
root:x:0:0:root:/root:/bin/bash
postgres:x:999:999::/var/lib/postgresql:/bin/bash
redis:x:998:998::/var/lib/redis:/bin/bash
END
root:x:0:
postgres:x:999:
redis:x:998:
END
mkdir -p "$1/var/lib/postgresql" "$1/var/lib/redis" &&
chown 999:999 "$1/var/lib/postgresql" && chown 998:998 "$1/var/lib/redis"`

// sidecarCluster makes an empty cluster once, so that a container need not.
// Nothing in it is worth keeping after a power cut.
const sidecarCluster = `chroot --userspec=999:999 "$1" env LC_ALL=C.UTF-8 \
	/usr/lib/postgresql/17/bin/initdb --pgdata=/var/lib/postgresql/data --username=postgres \
	--auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 --no-sync --no-instructions >&2`

// droppedFromSidecars leaves out what the services do not use: the
// just-in-time compiler of PostgreSQL is larger than all the rest.
func droppedFromSidecars(path string) bool {
	return beginsWith(path, "etc/apt", "usr/bin/perl", "usr/share/doc/", "usr/share/i18n/", "usr/share/perl", "usr/share/postgresql-common/",
		"usr/lib/llvm", "usr/lib/systemd/", "usr/lib/postgresql/17/lib/bitcode/") ||
		contains(path, "/libLLVM", "/llvmjit", "/libclang", "/libz3.", "/libperl.", "/gconv/", "-linux-gnu/perl") ||
		droppedFromBase(path)
}
