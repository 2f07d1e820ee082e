// Package record is what the recorder inside a run and the engine outside
// agree on: how a line that a container wrote is sent. An answer of the recorder
// is a JSON list of records.
package record

const (
	// Mark begins a line that shim itself wrote to the container's standard
	// error; the letter after it is the Kind.
	Mark = "\x00shim "

	Started = "s" // the container's command begins
	Failed  = "f" // the container's command could not be started: Text says why
	Closed  = "c" // nobody holds the stream any more
)

const (
	// Port is where the recorder listens, in its container.
	Port = 8080
	// EnvironmentDir is where a service has its environment kept for the
	// command that asks whether it is ready.
	EnvironmentDir = "/.pipeline/environment"
)

// Record is a line that a container wrote, or what became of a stream.
type Record struct {
	Container string `json:"c"`
	Stream    string `json:"s"`           // "stdout" or "stderr"
	Kind      string `json:"k,omitempty"` // "" for a line
	Time      int64  `json:"t"`           // on the recorder's clock, ns
	Text      string `json:"x,omitempty"`
}
