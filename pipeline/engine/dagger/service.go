package dagger

import (
	"context"
	"crypto/rand"
	"fmt"

	"dagger.io/dagger"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
)

// Container creates a container in the engine and returns its ID, for clients that share
// the session. The container has no recorder and no shim.
func (e *Engine) Container(ctx context.Context, c engine.Container) (dagger.ID, error) {
	r, err := e.newRun()
	if err != nil {
		return "", err
	}
	ctr, _, _, err := r.image(ctx, c)
	if err == nil {
		ctr, err = ctr.Sync(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("hand over the image: %s", errorText(err))
	}
	return ctr.ID(ctx)
}

// Service returns the ID of a service that runs the main container and listens on port.
// The side containers are bound services, by the port that each listens on.
func (e *Engine) Service(ctx context.Context, main engine.Container, port int, sides map[int]engine.Container) (dagger.ID, error) {
	r, err := e.newRun()
	if err != nil {
		return "", err
	}
	ctr, args, err := r.serviceContainer(ctx, main)
	if err != nil {
		return "", err
	}
	for sidePort, side := range sides {
		sideCtr, args, err := r.serviceContainer(ctx, side)
		if err != nil {
			return "", err
		}
		ctr = ctr.WithServiceBinding(side.Name, sideCtr.WithExposedPort(sidePort).AsService(dagger.ContainerAsServiceOpts{Args: args, NoInit: true}))
	}
	return ctr.WithExposedPort(port).AsService(dagger.ContainerAsServiceOpts{Args: args, NoInit: true}).ID(ctx)
}

// newRun returns a run in the engine's own session.
func (e *Engine) newRun() (*run, error) {
	s, err := e.connect()
	if err != nil {
		return nil, err
	}
	return &run{engine: e, id: rand.Text(), client: s}, nil
}

// serviceContainer returns a container with its environment, and its command.
func (r *run) serviceContainer(ctx context.Context, c engine.Container) (*dagger.Container, []string, error) {
	ctr, _, command, err := r.image(ctx, c)
	if err != nil {
		return nil, nil, fmt.Errorf("container %s: %w", c.Name, err)
	}
	// Files of this machine are read now, as they may be gone when the container starts.
	ctr, err = r.setEnvironment(ctr, c).Sync(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("container %s: %s", c.Name, errorText(err))
	}
	return ctr.WithoutDockerHealthcheck(), command, nil
}
