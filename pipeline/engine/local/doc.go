// Package local is the embedded engine: it builds images with buildkitd, pinned
// in tools/go.mod, and runs them with the machine's runc, on a Linux machine
// that has neither Docker nor a registry.
//
// Nothing it starts outlives it. The build daemon and every pod live in
// namespaces of their own whose first process reads a pipe from this process:
// when this process ends, in whatever way, the pipe closes, the first process
// ends, and the kernel takes down the rest, mounts and networks included. What
// remains on disk after a kill -9 (upper directories, empty cgroups) is swept
// by the next start.
//
// That is why it is neither podman nor containerd: conmon and containerd's shims
// exist to outlive the program that started a container, and Docker's daemon
// does by itself. When measured, a buildkitd that ran plainly left processes,
// mounts and cgroups behind at a kill -9, which its next start did not clear.
// Package dagger is for machines that have an engine of that kind.
package local
