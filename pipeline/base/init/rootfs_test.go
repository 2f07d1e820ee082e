package main

import (
	"testing"
)

func rootfs(t *testing.T) string { return "/tmp/init/lower" }
