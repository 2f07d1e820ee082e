package local

// ID is in the name of everything that e's pods have on the machine.
func ID(e *Engine) string { return e.id }
