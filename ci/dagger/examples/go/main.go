// Use the module netbox from a module in Go
//
// Each function is an example to copy; "dagger call -m ci/dagger/examples/go
// NAME" runs it.
package main

import (
	"context"

	"dagger/netbox/examples/internal/dagger"
)

// Examples are examples of the module netbox.
type Examples struct{}

// Build the image for one platform and read which NetBox is in it.
func (m *Examples) NetboxContainer(ctx context.Context) (string, error) {
	return dag.Netbox().Container().File("/build_version").Contents(ctx)
}

// Build both images on a base of your own, as an OCI layout to push or to keep.
func (m *Examples) NetboxBase(
	// Base image, such as registry.example.com/base:1.
	base string,
) *dagger.Directory {
	return dag.Netbox().Build(dagger.NetboxBuildOpts{Base: base})
}

// Add a plugin to the image.
func (m *Examples) NetboxPlugin() *dagger.Container {
	return dag.Netbox().Container().WithExec([]string{"/lsiopy/bin/python3", "-m", "pip", "install", "netbox-topology-views"})
}

// Check everything and push the index to a registry with a password.
func (m *Examples) NetboxPublish(
	ctx context.Context,
	// Address to push to, such as ghcr.io/me/netbox.
	address string,
	username string,
	password *dagger.Secret,
) ([]string, error) {
	return dag.Netbox().Publish(ctx, []string{address}, dagger.NetboxPublishOpts{
		Tags: []string{"latest"}, Username: username, Password: password,
	})
}

// Run what talks to NetBox's API beside a NetBox.
func (m *Examples) NetboxService(ctx context.Context) (string, error) {
	netbox := dag.Netbox().Netbox(dag.SetSecret("admin", "a password for this run"))
	return dag.Container().From("docker.io/library/golang:1.26").
		WithServiceBinding("netbox", netbox).
		WithExec([]string{"curl", "--fail", "--silent", "http://netbox:8000/login/"}).
		Stdout(ctx)
}
