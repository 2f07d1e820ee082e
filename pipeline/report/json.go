package report

// JSON is report.json as Write writes it: through hide, which takes the
// secrets out.
func (r Report) JSON(hide func(string) string) ([]byte, error) { return r.encode(hide) }
