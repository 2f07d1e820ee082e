// Package config stands for containerd's.
package config

import (
	"context"
	"crypto/tls"
)

type HostOptions struct {
	Credentials   func(host string) (string, string, error)
	DefaultScheme string
	DefaultTLS    *tls.Config
}

func ConfigureHosts(context.Context, HostOptions) any { return nil }
