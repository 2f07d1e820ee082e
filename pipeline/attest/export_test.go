package attest

// With passes more flags to cosign.
func (c Cosign) With(flags ...string) Cosign {
	c.flags = flags
	return c
}
