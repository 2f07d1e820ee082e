// Package tests checks the project end to end, as its users run it: the command
// line is a process, on the repository or on a deliberately broken copy, with
// every part real.
//
// Long campaigns run a sample by default, and all cases with -soak:
//
//	go test -timeout 80m ./tests -soak
package tests
