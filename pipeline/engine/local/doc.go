// Package local implements the embedded engine for a Linux machine without Docker
// and without a registry. It builds images with buildkitd, which is pinned in
// tools/go.mod, and runs them with the machine's runc.
//
// Nothing it starts outlives this process. The build daemon and every pod have
// their own namespaces, whose first process reads a pipe from this process. When
// this process exits for any reason, the pipe closes, the first process exits,
// and the kernel removes the rest, mounts and networks included. Files that remain
// on disk after a kill -9 (upper directories, empty cgroups) are removed by the
// next start.
//
// For this reason it uses neither podman nor containerd: conmon and containerd's
// shims are meant to outlive the program that started a container, and so is
// Docker's daemon. In tests, a plain buildkitd left processes, mounts and cgroups
// behind on a kill -9, and its next start did not remove them. Package dagger is
// for machines that have such an engine.
package local
