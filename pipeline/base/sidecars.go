package base

import "github.com/linuxserver/docker-netbox/pipeline/engine"

// PostgreSQL returns a container that reads POSTGRES_USER, POSTGRES_PASSWORD and
// POSTGRES_DB like the official image, and listens on port 5432 of all addresses.
func PostgreSQL() engine.Container {
	return engine.Container{Entrypoint: []string{"/usr/local/bin/postgres-run"}, Ready: []string{"/usr/local/bin/postgres-ready"}}
}

// Redis returns a container that reads REDIS_PASSWORD and listens on port 6379 of
// all addresses.
func Redis() engine.Container {
	return engine.Container{Entrypoint: []string{"/usr/local/bin/redis-run"}, Ready: []string{"/usr/local/bin/redis-ready"}}
}

// sidecarPackages contain the services. They are unpacked without running their
// installation scripts, which would start clusters and generate keys.
var sidecarPackages = []string{
	"base-files", "bash", "coreutils", "dash", "tzdata", "util-linux",
	"postgresql-17", "redis-server", "redis-tools",
}

const sidecarPath = "/usr/lib/postgresql/17/bin:/usr/local/bin:/usr/bin:/usr/sbin"

// sidecarAccounts creates users and directories in place of the scripts.
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

// sidecarCluster creates an empty database cluster in the image, so that no
// container has to. It skips fsync: losing the data in a power cut does not matter.
const sidecarCluster = `chroot --userspec=999:999 "$1" env LC_ALL=C.UTF-8 \
	/usr/lib/postgresql/17/bin/initdb --pgdata=/var/lib/postgresql/data --username=postgres \
	--auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 --no-sync --no-instructions >&2`

// excludedFromSidecars reports whether a path is left out because the services do not
// use it. PostgreSQL's just-in-time compiler is larger than everything else.
func excludedFromSidecars(path string) bool {
	return hasAnyPrefix(path, "etc/apt", "usr/bin/perl", "usr/share/doc/", "usr/share/i18n/", "usr/share/perl", "usr/share/postgresql-common/",
		"usr/lib/llvm", "usr/lib/systemd/", "usr/lib/postgresql/17/lib/bitcode/") ||
		containsAny(path, "/libLLVM", "/llvmjit", "/libclang", "/libz3.", "/libperl.", "/gconv/", "-linux-gnu/perl") ||
		excludedFromBase(path)
}
