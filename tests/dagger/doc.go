// Package dagger tests the Dagger module on an engine as its users call it: from
// another directory, as a dependency and as a toolchain.
package dagger
