package attest

// With gives cosign more flags.
func (c Cosign) With(flags ...string) Cosign {
	c.flags = flags
	return c
}
