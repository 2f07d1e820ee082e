// Package tests proves the project from its user's chair: the command line is
// run as a process, on the repository or on a copy of it that was broken on
// purpose, with every real part in place.
//
// Long campaigns run as a sample, and whole with -soak:
//
//	go test -timeout 80m ./tests -soak
package tests
