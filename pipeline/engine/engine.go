// Package engine is what the pipeline asks of a build engine: to build one
// platform's image from a Dockerfile, and to run a container with side
// containers to its end. Nothing above this interface knows which
// engine it has.
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
	// Name is what people call the engine: "local", "dagger".
	Name() string
	// Setup finds or installs what the machine must have. It may write to log from
	// several goroutines.
	Setup(ctx context.Context, log io.Writer) error
	// Build makes the image of one platform. A failing instruction returns a
	// *BuildError.
	Build(ctx context.Context, req BuildRequest) (v1.Image, error)
	// Run starts the side containers, waits until each is ready, runs the main
	// container to its end and stops everything. The result holds what was
	// seen also when err is not nil. A main container that exits non-zero is a
	// result, not an error.
	Run(ctx context.Context, req RunRequest) (RunResult, error)
	// Close ends what the engine has started.
	Close() error
}

// Checker is an engine that finds a mistake in a Dockerfile, or that its base
// does not exist, before it builds.
type Checker interface {
	CheckBuild(ctx context.Context, req BuildRequest) error
}

// BuildRequest names one image to build.
type BuildRequest struct {
	Platform   v1.Platform
	Context    string            // directory that COPY reads from
	Dockerfile string            // path inside Context
	Target     string            // stage to build; empty for the last
	Base       Base              // what the argument BASE_IMAGE stands for
	Args       map[string]string // build arguments
	Epoch      time.Time         // SOURCE_DATE_EPOCH: the time stamped on all that is made
	Log        io.Writer         // receives plain lines of progress; required
}

// Base is the image that a Dockerfile starts from. Exactly one field is set.
type Base struct {
	Reference string        // an image the engine pulls
	Index     v1.ImageIndex // an image already at hand, one manifest a platform
}

// BuildError reports which instruction of a Dockerfile failed.
type BuildError struct {
	Platform   v1.Platform
	Dockerfile string
	Line       int      // line of the instruction, 0 when unknown
	Step       string   // the instruction as written
	Output     []string // its last lines of output
	Err        error
}

// RunRequest names a container to run to its end.
type RunRequest struct {
	Main    Container
	Sides   []Container
	Timeout time.Duration // limit for the whole run, sides included; required
	OnLine  func(container string, line Line)
}

// Container is one container of a run. The main container reaches each side
// container by its Name. With the local engine they share a private network
// with no way out; Dagger's has one.
type Container struct {
	Name       string
	Image      v1.Image
	Reference  string   // instead of Image: an image the engine pulls; Dagger only
	Entrypoint []string // nil keeps the image's
	Args       []string // nil keeps the image's Cmd
	Env        map[string]string
	Secrets    map[string]string // environment too; masked in every line handed out
	Files      []File            // put in place before the start
	Mounts     []Mount
	Ready      []string // side containers: a command that exits 0 once the service answers
	// Capture are paths of files to bring back after the end, when present.
	// Dagger returns none of a container that a signal has ended.
	Capture   []string
	StopGrace time.Duration // between SIGTERM and SIGKILL; 10 s when zero

	// What an operator restricts: local engine only.
	ReadOnly        bool     // the root file system cannot be written
	User            string   // "UID", "UID:GID" or names, instead of the image's
	Capabilities    []string // of Docker's default ones, those that stay, such as CAP_CHOWN; nil keeps all
	NoNewPrivileges bool     // no program raises the rights of who runs it
}

// File is a file put into a container before its start.
type File struct {
	Path    string
	Mode    fs.FileMode
	Content []byte
	UID     int
	GID     int
}

// Mount is a temporary file system, an anonymous volume or a directory of the
// host in a container.
type Mount struct {
	Path  string
	Tmpfs bool
	// Host is a directory of this machine to mount, which outlives the
	// container: what a test of restarts keeps its volumes in. Local engine
	// only.
	Host string
}

// Line is one line a container wrote.
type Line struct {
	At     time.Duration // since the container's start
	Stream string        // "stdout" or "stderr"
	Text   string
}

// RunResult is what was seen of a run.
type RunResult struct {
	ExitCode   int // of the main container; 128+n when killed by signal n
	Started    time.Time
	Ended      time.Time
	Lines      []Line            // of the main container, in order of arrival
	SideLines  map[string][]Line // of each side container
	Files      map[string][]byte // captured, by path
	PeakMemory int64             // of the main container, bytes; 0 when unknown
}
