package publish_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/tests/campaign"
)

// layout is the environment variable that turns this program into a publisher.
// It names the image layout; the arguments are the targets, TARGET or
// TARGET=PLATFORM. The publisher prints a line when it begins, then a feat.
const layout = "PUBLISH_TEST_LAYOUT"

// feat is the result that a publisher prints.
type feat struct {
	Seconds float64 // for publishing alone, without reading the layout
	Blobs   int     // sent
	Bytes   int64   // sent
	Changed int     // targets that changed
	Memory  int64   // peak resident memory in bytes
}

func publishLayout(dir string, args []string) error {
	ctx := context.Background()
	idx, err := registry.ReadLayout(ctx, dir)
	if err != nil {
		return err
	}
	var targets []registry.Target
	for _, arg := range args {
		reference, platform, _ := strings.Cut(arg, "=")
		target, err := registry.ParseTarget(reference)
		if err != nil {
			return err
		}
		targets = append(targets, target.For(platform))
	}
	fmt.Println("begin")
	start := time.Now()
	published, err := registry.Publish(ctx, idx, targets, registry.Options{Attach: attach})
	if err != nil {
		return err
	}
	done := feat{Seconds: time.Since(start).Seconds()}
	counted := map[string]bool{} // by repository
	for _, p := range published {
		if !p.Unchanged {
			done.Changed++
		}
		if !counted[p.Target.Repository()] {
			counted[p.Target.Repository()] = true
			done.Blobs += p.Blobs
			done.Bytes += p.Bytes
		}
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	if m := regexp.MustCompile(`VmHWM:\s+([0-9]+) kB`).FindSubmatch(status); m != nil {
		kilobytes, err := strconv.ParseInt(string(m[1]), 10, 64)
		if err != nil {
			return err
		}
		done.Memory = kilobytes * 1024
	}
	return json.NewEncoder(os.Stdout).Encode(done)
}

// publisher is a running publisher process.
type publisher struct {
	cmd    *exec.Cmd
	began  time.Time
	stdout *bufio.Reader
	stderr strings.Builder
}

// startPublisher starts a process that publishes the layout in dir, and waits until it begins.
func startPublisher(t testing.TB, dir string, targets ...string) *publisher {
	t.Helper()
	program, err := os.Executable()
	must(t, err)
	p := &publisher{cmd: exec.CommandContext(t.Context(), program, targets...)}
	p.cmd.Env = append(os.Environ(), layout+"="+dir)
	p.cmd.Stderr = &p.stderr
	out, err := p.cmd.StdoutPipe()
	must(t, err)
	must(t, p.cmd.Start())
	p.stdout = bufio.NewReader(out)
	if line, err := p.stdout.ReadString('\n'); line != "begin\n" {
		t.Fatalf("the publisher did not begin: %v %s", err, &p.stderr)
	}
	p.began = time.Now()
	return p
}

// start starts a process that publishes the second content.
func (c try) start(t testing.TB) *publisher {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "image")
	must(t, registry.WriteLayout(dir, c.after.index))
	name := c.backend + "/" + c.repo
	return startPublisher(t, dir, name+":2.0", name+":amd64-latest=linux/amd64", name+":latest")
}

func TestAPublisherThatIsKilledLeavesWholeTagsAndTheNextCompletes(t *testing.T) {
	times := 8
	if *soak {
		times = 50
	}
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			backend := kind.start(t).host
			newBigTry := func() try {
				c := newTry(t, backend)
				c.after = newContent(t, 3_000_000)
				return c
			}
			c := newBigTry()
			p := c.start(t)
			if err := p.cmd.Wait(); err != nil {
				t.Fatalf("undisturbed: %v: %s", err, &p.stderr)
			}
			whole := time.Since(p.began)
			must(t, c.judge(true))

			killed := 0
			for _, moment := range campaign.Moments(t, times, *soak) {
				c := newBigTry()
				p := c.start(t)
				after := time.Duration(moment * float64(whole))
				time.Sleep(after - time.Since(p.began))
				_ = p.cmd.Process.Kill()
				err := p.cmd.Wait()
				if err != nil {
					killed++
				}
				if err := c.judge(err == nil); err != nil {
					t.Errorf("killed after %s: %v", after, err)
				}
				if err := c.complete(t); err != nil {
					t.Errorf("killed after %s: %v", after, err)
				}
			}
			t.Logf("%d publishers were started, %d of them killed in the %s that one takes", times, killed, whole.Round(time.Millisecond))
			if killed < times/3 {
				t.Errorf("only %d of %d publishers were killed before they had ended", killed, times)
			}
		})
	}
}

func TestADiskThatFillsUpAtAnyMomentLeavesWholeTagsAndOnceThereIsRoomTheNextRunCompletes(t *testing.T) {
	root := debianRoot(t) // also checks that the tests run as root, which mounting needs
	program, err := os.Executable()
	must(t, err)
	step := 20
	if *soak {
		step = 4
	}
	const large = "256m"
	for _, kind := range []struct {
		name  string
		start func(t *testing.T) (s *server, dir string)
	}{
		{"go-containerregistry", func(t *testing.T) (*server, string) {
			dir := t.TempDir()
			cmd := on(dir, large, program)
			cmd.Env = append(os.Environ(), serve+"="+dir)
			return start(t, cmd), dir
		}},
		{"docker-registry", func(t *testing.T) (*server, string) {
			data := newDir(t, root)
			return start(t, dockerCommand(t, root, data, large)), root + data
		}},
	} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			s, dir := kind.start(t)
			inside := func(command ...string) string {
				out, err := exec.Command("nsenter", append([]string{"--target", fmt.Sprint(s.process.Pid), "--mount"}, command...)...).CombinedOutput()
				if err != nil {
					t.Fatalf("%v: %v: %s", command, err, out)
				}
				return string(out)
			}
			resize := func(size string) { inside("mount", "-o", "remount,size="+size, dir) }
			ended, went, broken := 0, 0, 0
			for free := 0; went < 2; free += step { // in kilobytes, until two publishes succeed
				if free > 2000 {
					t.Fatal("2 MB are not enough for a publish of a few kilobytes")
				}
				c := newTry(t, s.host)
				c.careless = kind.name == "docker-registry"
				var blocks, left int
				if _, err := fmt.Sscan(inside("stat", "--file-system", "--format", "%b %f", dir), &blocks, &left); err != nil {
					t.Fatal(err)
				}
				resize(fmt.Sprintf("%dk", (blocks-left)*4+free)) // tmpfs blocks are pages of 4 KB
				_, err := publish(t.Context(), t, c.after, s.host, c.repo, "2.0")
				if err == nil {
					went++
				} else {
					ended++
					if strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), s.host+"/"+c.repo) {
						t.Errorf("with %d KB left: error %v, want one line that names the repository", free, err)
					}
				}
				if err := c.judge(err == nil); err != nil {
					t.Errorf("with %d KB left: %v", free, err)
				}
				resize(large)
				err = c.complete(t)
				if err != nil && kind.name == "docker-registry" && strings.Contains(err.Error(), "delete it") {
					// This registry keeps a manifest that the full disk truncated
					// for ever, whatever is pushed later. A client can only report
					// it and move no tag.
					broken++
					err = c.judge(false)
				}
				if err != nil {
					t.Errorf("with %d KB left: %v", free, err)
				}
			}
			t.Logf("%d publishes ended on a full disk; %d times it broke the registry's own data", ended, broken)
			if broken > ended/2 {
				t.Errorf("%d of %d publishes could not be completed", broken, ended)
			}
			if ended == 0 {
				t.Error("no disk was ever full")
			}
		})
	}
}

func TestTwoPublishersOfTheSameDoNotHinderEachOther(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			backend := kind.start(t).host
			for range 5 {
				c := newTry(t, backend)
				var race sync.WaitGroup
				for range 3 {
					race.Go(func() {
						if _, err := publish(t.Context(), t, c.after, backend, c.repo, "2.0"); err != nil {
							t.Error(err)
						}
					})
				}
				race.Wait()
				if err := c.judge(true); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestTwoPublishersOfOneTagLeaveWhatOneOfThemPublished(t *testing.T) {
	rounds := 5
	if *soak {
		rounds = 50
	}
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			backend := kind.start(t).host
			lost := 0
			for range rounds {
				repo := newRepository()
				contents := []content{newContent(t, 2000), newContent(t, 2000)}
				errs := make([]error, len(contents))
				var race sync.WaitGroup
				for i, c := range contents {
					race.Go(func() { _, errs[i] = publish(t.Context(), t, c, backend, repo, "2.0") })
				}
				race.Wait()
				for _, err := range errs {
					if err == nil {
						continue
					}
					lost++
					if strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "another run publishes to it too") && !strings.Contains(err.Error(), "names that image for ever") {
						t.Errorf("the error does not say that there is another run: %v", err)
					}
				}
				tags, err := walk(backend, repo)
				if err != nil {
					t.Error(err)
				}
				for tag, of := range map[string]func(content) string{
					"2.0":          func(c content) string { return c.digest },
					"latest":       func(c content) string { return c.digest },
					"amd64-latest": func(c content) string { return c.booted["linux/amd64"].String() },
				} {
					if got := tags[tag]; got != of(contents[0]) && got != of(contents[1]) && (got != "" || errors.Join(errs...) == nil) {
						t.Errorf("tag %s is %q, want what one of the two published", tag, got)
					}
				}
				// A second publish that may move the tag wins.
				opts := options(contents[0], new(atomic.Int64))
				opts.Move = true
				if _, err := registry.Publish(t.Context(), contents[0].index, targets(t, backend, repo, "2.0"), opts); err != nil {
					t.Error(err)
				}
				if tags, err = walk(backend, repo); err != nil || tags["2.0"] != contents[0].digest || tags["latest"] != contents[0].digest {
					t.Errorf("published again, the tags are %v (%v), want %s", tags, err, contents[0].digest)
				}
				for _, c := range contents[:1] {
					for _, subject := range c.subjects() {
						if n := len(attachedTo(t, backend, repo, subject)); n != 1 {
							t.Errorf("%d documents are attached to %s, want 1", n, subject)
						}
					}
				}
			}
			t.Logf("%d races, %d publishers reported that they had lost a tag", rounds, lost)
		})
	}
}
