// Package engine defines the interface of a build engine, which builds one
// platform's image from a Dockerfile, and runs a container with side containers
// until it exits. Callers do not depend on a particular engine.
package engine

import (
	"context"
	"io"
	"io/fs"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Engine builds and runs images.
type Engine interface {
	// Name returns the engine's name for people: "local", "dagger".
	Name() string
	// Setup finds or installs what the engine needs on the machine. It may write to
	// log from several goroutines.
	Setup(ctx context.Context, log io.Writer) error
	// Build builds the image of one platform. If an instruction fails, the error is
	// a *BuildError.
	Build(ctx context.Context, req BuildRequest) (v1.Image, error)
	// Run starts the side containers, waits until each is ready, runs the main
	// container until it exits and stops everything. The result holds what was
	// observed even when err is not nil. A non-zero exit of the main container is
	// a result, not an error.
	Run(ctx context.Context, req RunRequest) (RunResult, error)
	// Close stops everything that the engine has started.
	Close() error
}

// Checker is implemented by engines that can detect an error in a Dockerfile, or
// a base image that does not exist, before they build.
type Checker interface {
	CheckBuild(ctx context.Context, req BuildRequest) error
}

// BuildRequest names one image to build.
type BuildRequest struct {
	Platform   v1.Platform
	Context    string            // directory that COPY reads from
	Dockerfile string            // path inside Context
	Target     string            // stage to build; empty for the last
	Base       Base              // the image passed as the argument BASE_IMAGE
	Args       map[string]string // build arguments
	Epoch      time.Time         // SOURCE_DATE_EPOCH: the timestamp of everything in the image
	Log        io.Writer         // receives progress as plain lines; required
}

// Base is the image that a Dockerfile starts from. Exactly one field is set.
type Base struct {
	Reference string        // an image the engine pulls
	Index     v1.ImageIndex // an image that is already available, one manifest a platform
}

// BuildError reports which instruction of a Dockerfile failed.
type BuildError struct {
	Platform   v1.Platform
	Dockerfile string
	Line       int      // line of the instruction, 0 when unknown
	Step       string   // the instruction as written
	Output     []string // the last lines of its output
	Err        error
}

// RunRequest describes a container to run until it exits.
type RunRequest struct {
	Main    Container
	Sides   []Container
	Timeout time.Duration // limit of the whole run, side containers included; required
	OnLine  func(container string, line Line)
}

// Container is one container of a run. The main container reaches each side
// container by its Name. The local engine runs them in a private network without
// internet access; with Dagger the network has internet access.
type Container struct {
	Name       string
	Image      v1.Image
	Reference  string   // instead of Image: an image the engine pulls; Dagger only
	Entrypoint []string // nil keeps the image's
	Args       []string // nil keeps the image's Cmd
	Env        map[string]string
	Secrets    map[string]string // also environment variables; masked in every line of output
	Files      []File            // written before the start
	Mounts     []Mount
	Ready      []string // side containers: a command that exits 0 once the service answers
	// Capture lists files to return after the exit, if they exist. Dagger returns
	// none from a container that was ended by a signal.
	Capture   []string
	StopGrace time.Duration // between SIGTERM and SIGKILL; 10 s when zero

	// Restrictions that an operator may set: local engine only.
	ReadOnly        bool     // mount the root file system read-only
	User            string   // "UID", "UID:GID" or names, instead of the image's
	Capabilities    []string // those of Docker's defaults to keep, such as CAP_CHOWN; nil keeps all
	NoNewPrivileges bool     // no program can gain privileges, for example by setuid
}

// File is a file to write into a container before its start.
type File struct {
	Path    string
	Mode    fs.FileMode
	Content []byte
	UID     int
	GID     int
}

// Mount is a mount in a container: a tmpfs, an anonymous volume or a directory of
// the host.
type Mount struct {
	Path  string
	Tmpfs bool
	// Host is a directory of this machine to mount. It outlives the container: a
	// test of restarts keeps its volumes there. Local engine only.
	Host string
}

// Line is one line of a container's output.
type Line struct {
	At     time.Duration // since the container's start
	Stream string        // "stdout" or "stderr"
	Text   string
}

// RunResult is the outcome of a run.
type RunResult struct {
	ExitCode   int // of the main container; 128+n when killed by signal n
	Started    time.Time
	Ended      time.Time
	Lines      []Line            // of the main container, in order of arrival
	SideLines  map[string][]Line // of each side container, by name
	Files      map[string][]byte // the captured files, by path
	PeakMemory int64             // of the main container, bytes; 0 when unknown
}
