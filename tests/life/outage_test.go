package life

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
)

// outage is how long a service stays down.
const outage = 30 * time.Second

// TestServicesLostForHalfAMinuteAreGotBack kills the processes of a service, so that
// connections break and new ones are refused, and restarts it on its data. Redis stores
// none here and comes back empty. Finally both services hang with open connections.
func TestServicesLostForHalfAMinuteAreGotBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	postgres, redis := w.services()
	c := w.netbox(nil)
	w.up(c, "/login/")
	healthy(t, c)
	w.probes(true)
	token := w.token()
	w.bulk(token)
	for _, lost := range []struct {
		name      string
		container *local.Container
	}{{"PostgreSQL", postgres}, {"Redis", redis}} {
		away := time.Now()
		if err := lost.container.Kill(); err != nil {
			t.Fatal(err)
		}
		w.ended(lost.container)
		unhealthy(t, c)
		w.probes(false)
		t.Logf("%s lost: unhealthy after %.1f s", lost.name, time.Since(away).Seconds())
		time.Sleep(time.Until(away.Add(outage)))
		w.again(lost.container)
		back := time.Now()
		w.up(c, "/login/")
		page := time.Since(back)
		healthy(t, c)
		well := time.Since(back)
		w.bulk(token)
		w.daily(token)
		t.Logf("%s back: 200 after %.1f s, healthy after %.1f s, a background job done after %.1f s",
			lost.name, page.Seconds(), well.Seconds(), time.Since(back).Seconds())
		select {
		case <-c.Done():
			t.Fatalf("the container ended when %s went away", lost.name)
		default:
		}
	}

	hang := 3 * time.Second
	if *soak {
		hang = outage
	}
	for _, signal := range []unix.Signal{unix.SIGSTOP, unix.SIGCONT} {
		pause(t, postgres.Processes(), signal)
		pause(t, redis.Processes(), signal)
		if signal == unix.SIGSTOP {
			time.Sleep(hang)
		}
	}
	w.up(c, "/login/")
	w.must(http.StatusOK, http.MethodGet, "/api/status/", token, nil)
	w.stop(c)
}

// probes sends an orchestrator's liveness and readiness requests, to an address that is not
// in ALLOWED_HOST.
func (w *world) probes(ready bool) {
	w.t.Helper()
	client := http.Client{
		Transport:     &http.Transport{DialContext: w.pod.DialContext, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       patience,
	}
	status := map[string]int{}
	for _, path := range []string{"/live", "/ready"} {
		res, err := client.Get("http://127.0.0.1:8000" + path)
		if err != nil {
			w.t.Fatal(err)
		}
		res.Body.Close()
		status[path] = res.StatusCode
		if cookies := res.Cookies(); len(cookies) > 0 {
			w.t.Errorf("%s sets cookies: %v", path, cookies)
		}
	}
	if status["/live"] != http.StatusOK {
		w.t.Errorf("/live answers %d, want 200", status["/live"])
	}
	if (status["/ready"] < http.StatusBadRequest) != ready {
		w.t.Errorf("/ready answers %d: want ready to be %v", status["/ready"], ready)
	}
}

// pause signals all processes of a container. Stopped processes keep their connections but
// do not answer.
func pause(t *testing.T, processes []local.Process, signal unix.Signal) {
	t.Helper()
	for _, p := range processes {
		if err := unix.Kill(p.PID, signal); err != nil && !errors.Is(err, unix.ESRCH) {
			t.Fatal(err)
		}
	}
}

// TestRedisMayBeFlushedWhileRunning flushes Redis, which removes the cache, the queues and
// the registrations of the workers.
func TestRedisMayBeFlushedWhileRunning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	postgres, redis := w.services()
	c := w.netbox(nil)
	w.up(c, "/login/")
	healthy(t, c)
	token := w.token()
	w.bulk(token)
	time.Sleep(10 * time.Second) // an idle worker seldom renews its registration
	w.redisCommand(redis, "flushall")
	began := time.Now()
	w.bulk(token)
	t.Logf("flushed: a background job done after %.1f s", time.Since(began).Seconds())
	w.stop(c)

	// NetBox's own jobs must be scheduled again at the next start, though the database
	// lists them as scheduled.
	const planned = "select count(*) from core_job where name = 'System Housekeeping' and created > now() - interval '1 hour'"
	w.redisCommand(redis, "flushall")
	w.sql(postgres, "netbox", "update core_job set created = created - interval '1 day'")
	if got := w.sql(postgres, "netbox", planned); got != "0" {
		t.Fatalf("%s jobs are younger than a day", got)
	}
	again := w.netbox(nil)
	w.up(again, "/login/")
	healthy(t, again)
	for deadline := time.Now().Add(patience); w.sql(postgres, "netbox", planned) == "0"; time.Sleep(time.Second) {
		if time.Now().After(deadline) {
			t.Fatal("the housekeeping, lost with Redis, is not planned again")
		}
	}
	w.stop(again)
}

// TestRedisLostDuringTheStartIsWaitedFor stops Redis after NetBox has waited for it and
// before its first use.
func TestRedisLostDuringTheStartIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, redis := w.services()
	c := w.netbox(nil)
	w.logged(c, "the database is ready", patience)
	if err := redis.Kill(); err != nil {
		t.Fatal(err)
	}
	w.ended(redis)
	time.Sleep(10 * time.Second)
	w.again(redis)
	back := time.Now()
	w.up(c, "/login/")
	healthy(t, c)
	w.daily(w.token())
	t.Logf("Redis back: all well after %.1f s", time.Since(back).Seconds())
	w.stop(c)
}

// TestARedisThatTakesNothingIsNamedInOneLine covers a Redis that answers but refuses
// writes.
func TestARedisThatTakesNothingIsNamedInOneLine(t *testing.T) {
	t.Parallel()
	outer := newWorld(t)
	_, redis := outer.services()
	for _, test := range []struct{ name, fault, repair, says string }{
		{"a replica", "replicaof 127.0.0.1 6999", "replicaof no one", "read only replica.: see REDIS_HOST"},
		{"full", "config set maxmemory 1", "config set maxmemory 0", "'maxmemory'.: see REDIS_HOST"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := outer.in(t)
			w.redisCommand(redis, test.fault)
			w.ends(map[string]string{"STARTUP_TIMEOUT": "3"}, test.says)
			w.redisCommand(redis, test.repair)
		})
	}
}

// bulk creates a site by a background job. NetBox accepts no job before a worker has
// registered.
func (w *world) bulk(token string) {
	w.t.Helper()
	slug := fmt.Sprintf("bulk-%d", time.Now().UnixNano())
	deadline := time.Now().Add(patience)
	for {
		res, err := w.ask(http.MethodPost, "/api/dcim/sites/?background=true", token, []map[string]any{{"name": slug, "slug": slug}})
		if err == nil && res.status == http.StatusAccepted {
			break
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("the order is not taken: %d, %v: %.300s", res.status, err, res.body)
		}
		time.Sleep(200 * time.Millisecond)
	}
	for w.must(http.StatusOK, http.MethodGet, "/api/dcim/sites/?slug="+slug, token, nil)["count"] != 1.0 {
		if time.Now().After(deadline) {
			w.t.Fatal("the order was taken, but nobody does it")
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// unhealthy waits until the image's health check fails.
func unhealthy(t *testing.T, c *local.Container) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Second) {
		if _, _, code, err := c.Exec(t.Context(), healthCheck(t), nil); err == nil && code != 0 {
			return
		} else if err != nil || time.Now().After(deadline) {
			t.Fatalf("health check: status %d, %v; want a failure", code, err)
		}
	}
}

// again restarts a killed service on its data.
func (w *world) again(service *local.Container) {
	w.t.Helper()
	back, err := service.Restart(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	if err := back.WaitReady(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// redisCommand runs a command in Redis and checks that it succeeds.
func (w *world) redisCommand(redis *local.Container, command string) {
	w.t.Helper()
	out, errs, code, err := redis.Exec(w.t.Context(), []string{"sh", "-c", `REDISCLI_AUTH="$REDIS_PASSWORD" redis-cli ` + command}, nil)
	if err != nil || code != 0 || strings.TrimSpace(out) != "OK" {
		w.t.Fatal(fmt.Errorf("redis-cli %s: status %d, %v: %s%s", command, code, err, out, errs))
	}
}
