// Package bench compares how the image serves NetBox with the two servers of
// NetBox's installation guide: gunicorn and uWSGI, both behind nginx. All serve
// the same NetBox, database and Redis, and are measured in turn:
//
//	go test ./tests/bench -run '^$' -bench Serving -benchtime 1x -rounds 7 -seconds 10 -timeout 40m
//
// Without -rounds and -seconds it measures for 5 minutes, after one or two minutes
// in which the servers start. Measuring the memory of the idle image takes a
// minute:
//
//	go test ./tests/bench -run '^$' -bench Memory -benchtime 1x
//
// No speed is asserted. The test checks the harness. The benchmarks print tables,
// and on standard error each step and the remaining time.
package bench

import (
	"context"
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/base/basetest"
	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
	"github.com/linuxserver/docker-netbox/pipeline/provider"
	"github.com/linuxserver/docker-netbox/tests/need"
)

//go:embed testdata/fill.py
var fill string

var (
	rounds  = flag.Int("rounds", 5, "rounds of the benchmark; each asks every server for every case")
	dist    = flag.String("dist", "", "directory that a build or check left its image/ in; empty to build one")
	seconds = flag.Int("seconds", 3, "length of one measurement")
	only    = flag.String("question", "", "the one question to ask, such as \"static file\"; all unless given")
)

const (
	repository = "../.."
	host       = "netbox.test"
	password   = "correct horse battery staple"
	starting   = 3 * time.Minute // upper limit for starting all servers from existing images
	patience   = 10 * time.Minute
	calm       = 15 * time.Second // until the memory used at startup is released
)

// question is a request that is sent to each server repeatedly.
type question struct {
	name        string
	path        string
	token       bool
	connections int
	slow        int // multiplies the duration, for enough responses
}

var questions = []question{
	{name: "log-in page", path: "/login/", connections: 16, slow: 1},
	{name: "1,000 devices", path: "/api/dcim/devices/?limit=1000", token: true, connections: 2, slow: 3},
	{name: "static file", path: "/static/netbox.css", connections: 32, slow: 1},
}

// length returns the duration of one measurement of a question.
func length(q question) time.Duration { return time.Duration(q.slow**seconds) * time.Second }

// figures holds the results of one measurement by wrk.
type figures struct {
	Requests, Microseconds, P50, P99, Errors, Timeouts, Refused int64
	cpu                                                         float64 // processor seconds of the server's processes
}

// cost returns the server's processor time per request in milliseconds. It does
// not depend on the load of the machine.
func (f figures) cost() float64 { return f.cpu / float64(f.Requests) * 1e3 }

func (f figures) rate() float64 { return float64(f.Requests) / (float64(f.Microseconds) / 1e6) }

// scene holds the private network in which all servers run.
type scene struct {
	tb      testing.TB
	pod     *local.Pod
	wrk     *local.Container
	servers map[string]*local.Container
	token   string
}

// say prints progress at once. The log of a benchmark only appears when it ends.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format(time.TimeOnly)+" "+format+"\n", args...)
}

// newScene starts the services and the servers, the image first, and fills the
// database. It only starts wrk if there are servers to compare the image with.
func newScene(tb testing.TB, servers []server) *scene {
	tb.Helper()
	need.Root(tb, "booting containers")
	ctx := tb.Context()
	say("making what is missing of the images: minutes when the cache is empty")
	sides, err := (provider.Local{Builder: basetest.Builder(tb, repository)}).Sidecars(ctx, tb.Output())
	if err != nil {
		tb.Fatal(err)
	}
	eng, plain, guide := build(tb, len(servers) > 1)
	pod, err := eng.NewPod(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := pod.Close(); err != nil {
			tb.Error(err)
		}
	})
	s := &scene{tb: tb, pod: pod, servers: map[string]*local.Container{}}
	for _, side := range []engine.Container{sides.Postgres, sides.Redis} {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if err := s.start(side).WaitReady(ctx); err != nil {
			tb.Fatal(err)
		}
	}
	config := tb.TempDir()
	for _, server := range servers {
		c := engine.Container{
			Name: strings.ReplaceAll(server.name, " ", "-"), Image: plain,
			Env: map[string]string{
				"PUID": "1000", "PGID": "1000", "ALLOWED_HOST": "*", "DB_USER": "netbox", "RQ_WORKERS": "1",
			},
			Secrets: map[string]string{
				"SUPERUSER_PASSWORD": password,
				"DB_PASSWORD":        sides.Postgres.Secrets["POSTGRES_PASSWORD"],
				"REDIS_PASSWORD":     sides.Redis.Secrets["REDIS_PASSWORD"],
			},
			Mounts: []engine.Mount{{Path: "/config", Host: config}},
		}
		if server.shell != "" {
			c.Image = guide
			c.Entrypoint = []string{"sh", "-ec", server.shell}
			c.Env["HOME"] = "/config"
		}
		say("starting %s", server.name)
		s.servers[server.name] = s.start(c)
		s.wait(server) // the first creates the tables and keys for all
	}
	if guide != nil {
		s.wrk = s.start(engine.Container{Name: "wrk", Image: guide, Entrypoint: []string{"sleep", "infinity"}})
	}
	say("filling the database")
	image := s.servers[servers[0].name]
	if _, errs, code, err := image.Exec(ctx, []string{"/lsiopy/bin/python3", "-c", fill}, nil); err != nil || code != 0 {
		tb.Fatalf("fill the database: status %d, %v: %s", code, err, errs)
	}
	s.token = s.provision()
	return s
}

// build builds the image as the command line does. If wanted, it also builds an
// image on top of it with the packages of NetBox's installation guide.
func build(tb testing.TB, wanted bool) (eng *local.Engine, plain, guide v1.Image) {
	tb.Helper()
	dir := *dist
	if dir == "" {
		dir = tb.TempDir()
		basetest.NetBox(tb, repository, dir)
	}
	idx, plain := basetest.Image(tb, dir)
	eng = basetest.Engine(tb, repository)
	tb.Cleanup(func() {
		if err := eng.Close(); err != nil {
			tb.Error(err)
		}
	})
	if !wanted {
		return eng, plain, nil
	}
	guide, err := eng.Build(tb.Context(), engine.BuildRequest{
		Platform: basetest.Platform(), Context: "testdata", Dockerfile: "Dockerfile", Base: engine.Base{Index: idx}, Log: tb.Output(),
	})
	if err != nil {
		tb.Fatal(err)
	}
	return eng, plain, guide
}

func (s *scene) start(spec engine.Container) *local.Container {
	s.tb.Helper()
	c, err := s.pod.Start(s.tb.Context(), spec)
	if err != nil {
		s.tb.Fatal(err)
	}
	s.tb.Cleanup(func() {
		if s.tb.Failed() {
			lines := c.Lines()
			for _, l := range lines[max(0, len(lines)-30):] {
				s.tb.Logf("%s %7.3f %s", spec.Name, l.At.Seconds(), l.Text)
			}
		}
	})
	return c
}

// ask sends one request and decodes a JSON response.
func (s *scene) ask(method string, port int, path, body string) (status int, got map[string]any, err error) {
	ctx, cancel := context.WithTimeout(s.tb.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("http://127.0.0.1:%d%s", port, path), strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Host = host
	req.Header.Set("Content-Type", "application/json")
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	res, err := (&http.Transport{DialContext: s.pod.DialContext, DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	if strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
		err = json.NewDecoder(res.Body).Decode(&got)
	}
	return res.StatusCode, got, err
}

// wait waits until a server responds.
func (s *scene) wait(server server) {
	s.tb.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		status, _, err := s.ask(http.MethodGet, server.port, "/login/", "")
		if err == nil && status == http.StatusOK {
			return
		}
		select {
		case <-s.servers[server.name].Done():
			s.tb.Fatalf("%s ended before it answered", server.name)
		default:
		}
		if time.Now().After(deadline) {
			s.tb.Fatalf("%s: no answer in %s: %d, %v", server.name, patience, status, err)
		}
	}
}

// provision creates an API token.
func (s *scene) provision() string {
	s.tb.Helper()
	status, got, err := s.ask(http.MethodPost, servers[0].port, "/api/users/tokens/provision/",
		fmt.Sprintf(`{"username": "admin", "password": %q, "version": 2}`, password))
	if err != nil || status != http.StatusCreated {
		s.tb.Fatalf("make a token: %d, %v", status, err)
	}
	return fmt.Sprintf("nbt_%v.%v", got["key"], got["token"])
}

// measure runs wrk with one question against one server.
func (s *scene) measure(server server, q question, length time.Duration) figures {
	s.tb.Helper()
	command := []string{"wrk", "--threads", "2", "--connections", strconv.Itoa(q.connections), "--timeout", "60s",
		"--duration", fmt.Sprintf("%.0fs", length.Seconds()), "--script", "/bench/figures.lua", "--header", "Host: " + host}
	if q.token {
		command = append(command, "--header", "Authorization: Bearer "+s.token)
	}
	before := s.cpu(server)
	out, errs, code, err := s.wrk.Exec(s.tb.Context(), append(command, fmt.Sprintf("http://127.0.0.1:%d%s", server.port, q.path)), nil)
	_, line, found := strings.Cut(out, "figures ")
	var f figures
	if err != nil || code != 0 || !found || json.Unmarshal([]byte(line), &f) != nil {
		s.tb.Fatalf("%s, %s: wrk: status %d, %v: %s%s", server.name, q.name, code, err, out, errs)
	}
	f.cpu = s.cpu(server) - before
	if f.Errors+f.Timeouts+f.Refused > 0 {
		s.tb.Errorf("%s, %s: %d answers, %d errors, %d time-outs, %d answers that are not 2xx or 3xx",
			server.name, q.name, f.Requests, f.Errors, f.Timeouts, f.Refused)
	}
	return f
}

// TestEveryServerAnswersEveryQuestion checks the harness: all servers serve the
// same NetBox, and wrk counts their responses.
func TestEveryServerAnswersEveryQuestion(t *testing.T) {
	s := newScene(t, servers)
	for _, server := range servers {
		status, got, err := s.ask(http.MethodGet, server.port, questions[1].path, "")
		if results, _ := got["results"].([]any); err != nil || status != http.StatusOK || len(results) != 1000 {
			t.Errorf("%s lists %d devices: %d, %v", server.name, len(results), status, err)
		}
		for _, q := range questions {
			if q.token {
				continue // wrk only counts complete responses, and these are slow
			}
			if f := s.measure(server, q, time.Second); f.Requests == 0 || f.P99 < f.P50 || f.Microseconds < 900_000 {
				t.Errorf("%s, %s: wrk's figures make no sense: %+v", server.name, q.name, f)
			}
		}
	}
}

func (s *scene) settle() {
	say("waiting %s for the servers to be idle", calm)
	time.Sleep(calm)
}

// BenchmarkServing measures the servers in turn and prints how the image compares
// with each.
func BenchmarkServing(b *testing.B) {
	asked := slices.DeleteFunc(slices.Clone(questions), func(q question) bool { return *only != "" && q.name != *only })
	if len(asked) == 0 {
		b.Fatalf("-question %q: there is none of that name", *only)
	}
	var total time.Duration
	for _, q := range asked {
		total += length(q) * time.Duration(*rounds*len(servers))
	}
	say("%d questions, %d servers, %d rounds: it measures for %s, once the servers run", len(asked), len(servers), *rounds, total)
	// At its limit go test also stops benchmarks, a minute late and without the table.
	if limit := flag.Lookup("test.timeout").Value.(flag.Getter).Get().(time.Duration); limit > 0 && limit < total+starting {
		b.Fatalf("measuring for %s does not fit into go test's limit of %s: pass -timeout %.0fm, or fewer -rounds or -seconds",
			total, limit, (total + 2*starting).Minutes())
	}
	s := newScene(b, servers)
	s.settle()
	idle := map[string]memory{}
	for _, server := range servers {
		idle[server.name] = s.memory(server)
	}
	var out strings.Builder
	lost := 0
	for b.Loop() {
		out.Reset()
		left := total
		t := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprint(t, "question\tserver\treq/s\tp50 ms\tp99 ms\tCPU ms\timage's req/s\timage's p99\timage's CPU\t\n")
		for _, q := range asked {
			all := map[string][]figures{}
			for i := range *rounds {
				say("%s, round %d of %d: %s left", q.name, i+1, *rounds, left)
				round := map[string]figures{}
				for _, server := range servers {
					if f := s.measure(server, q, length(q)); f.Requests > 0 {
						round[server.name] = f
					}
					left -= length(q)
				}
				if len(round) < len(servers) {
					lost++ // the machine was too busy for a single response
					continue
				}
				for name, f := range round {
					all[name] = append(all[name], f)
				}
			}
			if len(all) == 0 {
				b.Fatalf("%s: no round in which every server answered: give this machine more -seconds", q.name)
			}
			image := all[servers[0].name]
			for _, server := range servers {
				theirs := all[server.name]
				rate := median(theirs, func(i int) float64 { return image[i].rate() / theirs[i].rate() })
				p99 := median(theirs, func(i int) float64 { return float64(image[i].P99) / float64(theirs[i].P99) })
				cost := median(theirs, func(i int) float64 { return image[i].cost() / theirs[i].cost() })
				fmt.Fprintf(t, "%s\t%s\t%.4g\t%.4g\t%.4g\t%.3g\tx%.2f\tx%.2f\tx%.2f\t\n", q.name, server.name,
					median(theirs, func(i int) float64 { return theirs[i].rate() }),
					median(theirs, func(i int) float64 { return float64(theirs[i].P50) / 1e3 }),
					median(theirs, func(i int) float64 { return float64(theirs[i].P99) / 1e3 }),
					median(theirs, func(i int) float64 { return theirs[i].cost() }), rate, p99, cost)
			}
		}
		t.Flush()
	}
	t := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "\nserver\tidle MB\twith cache\tafterwards MB\tpeak with cache\t\n")
	for _, server := range servers {
		before, now := idle[server.name], s.memory(server)
		fmt.Fprintf(t, "%s\t%.0f\t%.0f\t%.0f\t%.0f\t%s\n", server.name, before.held, before.all, now.held, now.peak, server.says)
	}
	t.Flush()
	// Package testing only shows the first lines of a benchmark's log.
	fmt.Printf("\nmedian of %d rounds of %d s (%d rounds without an answer left out), %d processors\n%s\n", *rounds, *seconds, lost, runtime.NumCPU(), &out)
}

// BenchmarkMemory prints the memory of each process of the idle image.
func BenchmarkMemory(b *testing.B) {
	s := newScene(b, servers[:1])
	for b.Loop() {
		s.settle()
		var out strings.Builder
		t := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
		fmt.Fprint(t, "\nPSS MB\tof no file\tprocess\t\n")
		for _, p := range s.processes(servers[0]) {
			fmt.Fprintf(t, "%.1f\t%.1f\t%s\t\n", p.pss, p.anonymous, p.command)
		}
		t.Flush()
		all := s.memory(servers[0])
		fmt.Printf("%s\nidle %.0f MB, with cache %.0f, peak with cache %.0f\n", &out, all.held, all.all, all.peak)
	}
}
