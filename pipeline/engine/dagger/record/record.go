// Package record defines how the recorder of a run sends the output of containers to the
// engine. A response of the recorder is a JSON list of records.
package record

const (
	// Mark begins a line that the shim itself writes to the container's standard
	// error. The letter after it is the Kind.
	Mark = "\x00shim "

	Started = "s" // the container's command starts
	Failed  = "f" // the container's command could not be started: Text says why
	Closed  = "c" // no process has the stream open any more
)

const (
	// Port is where the recorder listens, in its container.
	Port = 8080
	// EnvironmentDir is where a service's environment is saved for its readiness check.
	EnvironmentDir = "/.pipeline/environment"
)

// Record is a line of a container's output, or an event.
type Record struct {
	Container string `json:"c"`
	Stream    string `json:"s"`           // "stdout" or "stderr"
	Kind      string `json:"k,omitempty"` // "" for a line
	Time      int64  `json:"t"`           // on the recorder's clock, ns
	Text      string `json:"x,omitempty"`
}
