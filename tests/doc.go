// Package tests checks the project end to end: it runs the command line as a
// process, on the repository or on a deliberately broken copy, without mocks.
//
// Long campaigns run a sample by default, and all cases with -soak:
//
//	go test -timeout 80m ./tests -soak
package tests
