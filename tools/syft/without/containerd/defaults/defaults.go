// Package defaults stands for containerd's.
package defaults

const DefaultAddress = ""
