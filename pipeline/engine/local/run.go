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

// Run runs a container with side containers to its end.
func (e *Engine) Run(ctx context.Context, req engine.RunRequest) (result engine.RunResult, err error) {
	name := req.Main.Name
	result.SideLines = map[string][]engine.Line{}
	ctx, cancel, err := req.Limit(ctx)
	if err != nil {
		return result, fmt.Errorf("run %s: %w", name, err)
	}
	defer cancel()
	pod, err := e.NewPod(ctx)
	if err != nil {
		return result, fmt.Errorf("run %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, pod.Close()) }()
	if err := pod.name(req.Names()...); err != nil {
		return result, fmt.Errorf("run %s: %w", name, err)
	}
	pod.keepSecret(req.Main.Secrets)
	for _, side := range req.Sides {
		pod.keepSecret(side.Secrets)
	}
	var onLine func(string, engine.Line)
	if req.OnLine != nil {
		var mu sync.Mutex
		onLine = func(container string, line engine.Line) {
			mu.Lock()
			defer mu.Unlock()
			req.OnLine(container, line)
		}
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
			if sides[i], err = pod.startContainer(gctx, side, onLine); err != nil {
				return err
			}
			return sides[i].WaitReady(gctx)
		})
	}
	var prepared *Container
	g.Go(func() (err error) {
		// Unpacking takes the longest: not after the sides are up.
		prepared, err = pod.prepare(gctx, req.Main, onLine)
		return err
	})
	if err := g.Wait(); err != nil {
		return result, fmt.Errorf("run %s: %w", name, err)
	}
	main := prepared
	result.Started = time.Now()
	if err := main.launch(ctx); err != nil {
		return result, fmt.Errorf("run %s: %w", name, err)
	}
	code, werr := main.Wait(ctx)
	var timeout *engine.TimeoutError
	inOrder := werr == nil || errors.As(werr, &timeout)
	if werr != nil {
		// A stop in order, so that the end of the log can be seen; a cancelled
		// caller wants it over.
		if inOrder {
			code, _ = main.Stop(context.WithoutCancel(ctx))
		} else {
			_ = main.Kill()
			<-main.done
			code = main.code
		}
		err = fmt.Errorf("run %s: %w%s", name, werr, engine.LastLines(main.Lines()))
	}
	result.ExitCode, result.Ended, result.Lines = code, main.Ended(), main.Lines()
	result.PeakMemory = main.PeakMemory()
	var captureErr error
	if result.Files, captureErr = main.capture(); captureErr != nil {
		err = errors.Join(err, fmt.Errorf("run %s: %w", name, captureErr))
	}
	if inOrder {
		var stops sync.WaitGroup
		for _, side := range sides {
			stops.Go(func() { _, _ = side.Stop(context.WithoutCancel(ctx)) })
		}
		stops.Wait()
	}
	return result, err
}
