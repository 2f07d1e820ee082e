// Package url stands for the package of go-getter.
package url

import "net/url"

func Parse(raw string) (*url.URL, error) { return url.Parse(raw) }
