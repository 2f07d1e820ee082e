package life

import (
	"fmt"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
	"github.com/linuxserver/docker-netbox/tests/campaign"
)

// sample returns the number of tries for a fault: few by default, 20 with -soak.
func sample(few int) int {
	if *soak {
		return 20
	}
	return few
}

// faults repeats a fault at different moments of an operation that takes the given time
// when undisturbed.
func faults(t *testing.T, took time.Duration, tries int, try func(t *testing.T, after time.Duration)) {
	t.Helper()
	t.Logf("%d tries within %.1f s", tries, took.Seconds())
	for i, moment := range campaign.Moments(t, tries, *soak) {
		t.Run(fmt.Sprintf("%d: after %.0f %%", i, 100*moment), func(t *testing.T) {
			try(t, time.Duration(moment*float64(took)))
		})
	}
}

// TestAFirstStartMayBeInterrupted stops or kills one or two containers while they fill
// an empty database. The next start must recover.
func TestAFirstStartMayBeInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	postgres, redis := w.services()
	fresh := func(w *world, roles ...string) (started []*local.Container) {
		w.t.Helper()
		w.sql(postgres, "postgres", "drop database if exists try with (force)", "create database try")
		w.redisCommand(redis, "flushall")
		for _, role := range roles {
			started = append(started, w.start(w.spec(role, map[string]string{"DB_NAME": "try", "NETBOX_ROLE": role})))
		}
		return started
	}
	undisturbed := fresh(w, "all")[0]
	took := w.up(undisturbed, "/login/")
	w.stop(undisturbed)

	stop := func(t *testing.T, c *local.Container) {
		t.Helper()
		began := time.Now()
		if code, err := c.Stop(t.Context()); err != nil || code == 137 {
			t.Errorf("stop: status %d after %.1f s, %v", code, time.Since(began).Seconds(), err)
		}
	}
	kill := func(t *testing.T, c *local.Container) {
		t.Helper()
		if err := c.Kill(); err != nil {
			t.Fatal(err)
		}
		w.ended(c)
	}
	for _, test := range []struct {
		name  string
		roles []string
		fault func(t *testing.T, c *local.Container)
		few   int
	}{
		{"by kill -9", []string{"all"}, kill, 2},
		{"by docker stop", []string{"all"}, stop, 1},
		{"by kill -9 of two that start at once", []string{"web", "worker"}, kill, 1},
		{"by docker stop of two that start at once", []string{"worker", "web"}, stop, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			faults(t, took, sample(test.few), func(t *testing.T, after time.Duration) {
				w := w.in(t)
				w.config = t.TempDir()
				started := fresh(w, test.roles...)
				time.Sleep(after)
				// Only the first is interrupted: the second continues or recovers.
				test.fault(t, started[0])
				next := w.start(w.spec(test.roles[0], map[string]string{"DB_NAME": "try", "NETBOX_ROLE": test.roles[0]}))
				t.Logf("the next start answers after %.1f s", w.up(next, "/login/").Seconds())
				w.daily(w.token())
				w.stop(next)
				for _, other := range started[1:] {
					w.stop(other)
				}
			})
		})
	}
}
