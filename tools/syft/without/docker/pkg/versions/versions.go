// Package versions stands for the package of Moby; nothing that is compiled asks
// for it, but go mod tidy does.
package versions
