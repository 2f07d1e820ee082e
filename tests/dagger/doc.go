// Package dagger uses the Dagger module as people do, where an engine is
// present: from elsewhere, as a dependency and as a toolchain.
package dagger
