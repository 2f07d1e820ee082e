package local

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
)

// Run runs a container with side containers until it exits.
func (e *Engine) Run(ctx context.Context, req engine.RunRequest) (result engine.RunResult, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("run %s: %w", req.Main.Name, err)
		}
	}()
	result.SideLines = map[string][]engine.Line{}
	ctx, cancel := req.Limit(ctx)
	defer cancel()
	pod, err := e.NewPod(ctx)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, pod.Close()) }()
	if err := pod.name(req.Names()...); err != nil {
		return result, err
	}
	pod.keepSecret(req.Main.Secrets)
	for _, side := range req.Sides {
		pod.keepSecret(side.Secrets)
	}
	var mu sync.Mutex
	prepare := func(ctx context.Context, spec engine.Container) (*Container, error) {
		c, err := pod.prepare(ctx, spec)
		if err == nil && req.OnLine != nil {
			c.OnLine(func(line engine.Line) {
				mu.Lock()
				defer mu.Unlock()
				req.OnLine(spec.Name, line)
			})
		}
		return c, err
	}

	sides := make([]*Container, len(req.Sides))
	defer func() {
		for i, side := range sides {
			if side != nil {
				result.SideLines[req.Sides[i].Name] = side.Lines()
			}
		}
	}()
	g, gctx := errgroup.WithContext(ctx)
	for i, side := range req.Sides {
		g.Go(func() (err error) {
			if sides[i], err = prepare(gctx, side); err != nil {
				return err
			}
			if err := sides[i].launch(gctx); err != nil {
				return err
			}
			return sides[i].WaitReady(gctx)
		})
	}
	var main *Container
	g.Go(func() (err error) {
		// Unpacking takes the longest, so it does not wait for the side containers.
		main, err = prepare(gctx, req.Main)
		return err
	})
	if err := g.Wait(); err != nil {
		return result, err
	}
	result.Started = time.Now()
	if err := main.launch(ctx); err != nil {
		return result, err
	}
	code, werr := main.Wait(ctx)
	var timeout *engine.TimeoutError
	graceful := werr == nil || errors.As(werr, &timeout)
	if werr != nil {
		// After a timeout it stops gracefully, so that the log is complete. After a
		// cancellation it is killed, since the caller does not want to wait.
		if graceful {
			code, _ = main.Stop(context.WithoutCancel(ctx))
		} else {
			_ = main.Kill()
			<-main.done
			code = main.code
		}
		err = fmt.Errorf("%w%s", werr, engine.LastLines(main.Lines()))
	}
	result.ExitCode, result.Ended, result.Lines = code, main.Ended(), main.Lines()
	result.PeakMemory = main.PeakMemory()
	var captureErr error
	result.Files, captureErr = main.capture()
	err = errors.Join(err, captureErr)
	if graceful {
		var stops sync.WaitGroup
		for _, side := range sides {
			stops.Go(func() { _, _ = side.Stop(context.WithoutCancel(ctx)) })
		}
		stops.Wait()
	}
	return result, err
}
