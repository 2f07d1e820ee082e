package publish_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
	"github.com/linuxserver/docker-netbox/tests/testrepo"
)

// project is a repository with a content that passed its check, and the command
// line that publishes it.
type project struct {
	program, repo, dist, home string
	content                   content
}

func newProject(t *testing.T) project {
	t.Helper()
	dir := t.TempDir()
	p := project{
		program: filepath.Join(dir, "ci"), repo: filepath.Join(dir, "repo"), dist: filepath.Join(dir, "dist"), home: filepath.Join(dir, "home"),
		content: newContent(t, 2000),
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", p.program, "./ci")
	build.Dir = repository
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the command line: %v: %s", err, out)
	}
	must(t, os.CopyFS(filepath.Join(p.repo, "build"), os.DirFS(filepath.Join(repository, "build")))) // the provenance refers to these files
	pins, err := os.ReadFile(filepath.Join(repository, "versions.yml"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(p.repo, "versions.yml"), pins, 0o644))
	commit := testrepo.Commit(t, p.repo)
	must(t, registry.WriteLayout(filepath.Join(p.dist, "image"), p.content.index))
	r := report.Report{Commit: commit, Version: "4.7.3", Base: report.Base{Name: "local"}}
	for platform, digest := range p.content.booted {
		r.Platforms = append(r.Platforms, report.Platform{Platform: platform, Image: digest.String()})
		for kind, end := range map[string]string{sbom.SPDXType: ".spdx.json", sbom.CycloneDXType: ".cdx.json"} {
			r.Documents = append(r.Documents, report.Document{Name: strings.ReplaceAll(platform, "/", "-") + end, Platform: platform, Type: kind, Text: document(kind, platform)})
		}
		for _, stage := range []string{"build", "graph", "boot", "smoke", "stop"} {
			key := report.Key{Stage: stage, Platform: platform}
			r.Stages, r.Expected = append(r.Stages, report.Stage{Key: key, Seconds: 1}), append(r.Expected, key)
		}
	}
	must(t, r.Write(filepath.Join(p.dist, "report"), func(s string) string { return s }))
	return p
}

// document returns the package list of one of a project's images.
func document(kind, platform string) []byte {
	if kind == sbom.SPDXType {
		return fmt.Appendf(nil, `{"spdxVersion":"SPDX-2.3","name":"%s","packages":[{"name":"nginx","versionInfo":"1"}]}`, platform)
	}
	return fmt.Appendf(nil, `{"bomFormat":"CycloneDX","specVersion":"1.6","metadata":{"component":{"name":"%s"}},"components":[{"name":"nginx"}]}`, platform)
}

// ci runs the command line with additional environment variables.
func (p project) ci(t *testing.T, env []string, args ...string) (output string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), p.program, append(args, "--engine", "local", "--repo", p.repo, "--output", p.dist)...)
	cmd.Env = append([]string{"PATH=" + p.home + ":" + os.Getenv("PATH"), "HOME=" + p.home, "XDG_CACHE_HOME=" + p.home + "/cache"}, env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// locked returns a proxy to a registry that requires a password.
func locked(t *testing.T, backend, user, password string) *proxy {
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	p := newProxy(t, backend, nil)
	p.guard = func(r *http.Request) *reply {
		if r.Header.Get("Authorization") == want {
			return nil
		}
		return &reply{status: http.StatusUnauthorized, header: http.Header{"Www-Authenticate": {`Basic realm="locked"`}}}
	}
	return p
}

func TestCredentialsOpenRegistriesFromEveryPlaceTheyMayBeInAndAreNeverPrinted(t *testing.T) {
	p := newProject(t)
	backend := startLoopback(t).host
	const user, password = "robot", "open-sesame-1001"
	encoded := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	variable := func(host, password string) []string {
		suffix := strings.NewReplacer(".", "_", ":", "_").Replace(host)
		return []string{"REGISTRY_USERNAME_" + suffix + "=" + user, "REGISTRY_PASSWORD_" + suffix + "=" + password}
	}
	config := func(t *testing.T, v any) []string {
		dir := t.TempDir()
		text, err := json.Marshal(v)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, "config.json"), text, 0o600))
		return []string{"DOCKER_CONFIG=" + dir}
	}
	for name, c := range map[string]struct {
		env  func(t *testing.T, host string) []string
		code int
		says string
	}{
		"variables": {func(_ *testing.T, host string) []string { return variable(host, password) }, 0, ""},
		"docker's configuration": {func(t *testing.T, host string) []string {
			return config(t, map[string]any{"auths": map[string]any{host: map[string]string{"auth": encoded}}})
		}, 0, ""},
		"a helper of docker's": {func(t *testing.T, host string) []string {
			must(t, os.MkdirAll(p.home, 0o755))
			must(t, os.WriteFile(filepath.Join(p.home, "docker-credential-test"), []byte("#!/bin/sh\ncat >/dev/null\necho '{\"ServerURL\":\"\",\"Username\":\""+user+"\",\"Secret\":\""+password+"\"}'\n"), 0o755))
			return config(t, map[string]any{"credHelpers": map[string]string{host: "test"}})
		}, 0, ""},
		"the wrong password": {func(_ *testing.T, host string) []string { return variable(host, password+"-not") }, 1, "401 Unauthorized; log in to"},
		"nowhere":            {func(t *testing.T, _ string) []string { return config(t, map[string]any{}) }, 1, "or the variables REGISTRY_USERNAME_127_0_0_1_"},
	} {
		t.Run(name, func(t *testing.T) {
			door := locked(t, backend, user, password)
			repo := newRepository()
			output, code := p.ci(t, c.env(t, door.host), "publish", "--to", door.host+"/"+repo+":1.0")
			if code != c.code || !strings.Contains(output, c.says) {
				t.Errorf("status %d, want %d and %q:\n%s", code, c.code, c.says, output)
			}
			tags, err := walk(backend, repo)
			must(t, err)
			if (tags["1.0"] == p.content.digest) != (c.code == 0) {
				t.Errorf("the tags are %v after status %d", tags, code)
			}
			for _, secret := range []string{password, encoded, base64.StdEncoding.EncodeToString([]byte(user + ":" + password + "-not"))} {
				if strings.Contains(output, secret) {
					t.Errorf("%q was printed:\n%s", secret, output)
				}
				must(t, filepath.WalkDir(p.dist, func(path string, d os.DirEntry, err error) error {
					if err != nil || d.IsDir() {
						return err
					}
					if text, err := os.ReadFile(path); err != nil || bytes.Contains(text, []byte(secret)) {
						t.Errorf("%s holds %q (%v)", path, secret, err)
					}
					return nil
				}))
			}
		})
	}
}

func TestACredentialIsNotPrintedWhateverFails(t *testing.T) {
	p := newProject(t)
	const user, password = "robot", "open-sesame-2002"
	encoded := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	for _, f := range faults {
		if f.name == "stalled" || f.name == "429" || f.name == "500" || f.name == "reset" {
			continue // ends after minutes of retries, with the error of a single request
		}
		for _, request := range []string{"greet", "send a blob", "read a blob", "move a tag"} {
			t.Run(f.name+" at "+request, func(t *testing.T) {
				t.Parallel()
				door := locked(t, startLoopback(t).host, user, password) // empty, because otherwise no blob would be sent
				done := false
				door.spoil = func(_ int, kind string) *fault {
					if kind != request || done {
						return nil
					}
					done = true
					return &f
				}
				suffix := strings.NewReplacer(".", "_", ":", "_").Replace(door.host)
				dist := filepath.Join(t.TempDir(), "dist") // each run needs its own copy
				must(t, os.CopyFS(dist, os.DirFS(p.dist)))
				mine := p
				mine.dist = dist
				output, _ := mine.ci(t, []string{"REGISTRY_USERNAME_" + suffix + "=" + user, "REGISTRY_PASSWORD_" + suffix + "=" + password},
					"publish", "--stall", "2s", "--to", door.host+"/"+newRepository()+":1.0")
				if !done {
					t.Errorf("nothing was spoiled:\n%s", output)
				}
				if strings.Contains(output, password) || strings.Contains(output, encoded) {
					t.Errorf("the password was printed:\n%s", output)
				}
			})
		}
	}
}

func TestTheProgramReportsAnOptionalRegistryThatFailsAndTheNextRunSaysWhatWasLeftToDo(t *testing.T) {
	p := newProject(t)
	good, bad := startLoopback(t).host, startLoopback(t).host
	door := newProxy(t, bad, func(_ int, kind string) *fault {
		if kind == "begin a blob" {
			return &fault{hurt: func(w http.ResponseWriter, _ *http.Request, _ *reply) { w.WriteHeader(http.StatusForbidden) }}
		}
		return nil
	})
	repo := newRepository()
	args := []string{"publish", "--to", good + "/" + repo + ":1.0", "--to", door.host + "/" + repo + ":1.0"}
	output, code := p.ci(t, nil, append(args, "--optional", door.host)...)
	for _, want := range []string{
		"publish " + door.host + ": failed", "1 targets have it, 1 of optional registries do not", "passed: all 1 stages passed",
		"not pushed; the registry is optional, so the run passes\n" + door.host + "/" + repo + ":1.0\n  publishing to ", "403 Forbidden",
	} {
		if !strings.Contains(output, want) {
			t.Errorf("the output does not say %q:\n%s", want, output)
		}
	}
	if tags, err := walk(good, repo); err != nil || code != 0 || tags["1.0"] != p.content.digest {
		t.Errorf("status %d, tags %v (%v)", code, tags, err)
	}

	output, code = p.ci(t, nil, args...) // no longer optional
	if tags, err := walk(good, repo); err != nil || code != 1 || tags["1.0"] != p.content.digest || !strings.Contains(output, "failed: publish: publishing to "+door.host) {
		t.Errorf("status %d, tags %v (%v)\n%s", code, tags, err, output)
	}
	if output, code = p.ci(t, nil, append(args, "--optional", "quay.io")...); code != 2 || !strings.Contains(output, `registry "quay.io" is optional, but nothing goes there`) {
		t.Errorf("status %d:\n%s", code, output)
	}

	door.with(nil)
	if output, code = p.ci(t, nil, args...); code != 0 || !strings.Contains(output, good+"/"+repo+":1.0 (unchanged)") {
		t.Errorf("status %d:\n%s", code, output)
	}
	if output, code = p.ci(t, nil, args...); code != 0 || !strings.Contains(output, "all 2 targets have it already: nothing to do") {
		t.Errorf("status %d:\n%s", code, output)
	}
}

func TestTheProgramTrustsTheAuthorityOfAFile(t *testing.T) {
	p := newProject(t)
	backend := startLoopback(t).host
	door := newProxyOver(t, "HTTP/2", backend, nil)
	dir, repo := t.TempDir(), newRepository()
	ca, other := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "other.pem")
	must(t, os.WriteFile(ca, door.ca, 0o644))
	must(t, os.WriteFile(other, []byte("no certificate"), 0o644))
	at := door.host + "/" + repo + ":1.0"
	for _, try := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"publish", "--to", at}, 1, "its certificate is not trusted: "},
		{[]string{"publish", "--to", at, "--ca", filepath.Join(dir, "none.pem")}, 2, "read the certificates to trust: open "},
		{[]string{"publish", "--to", at, "--ca", other}, 2, other + " holds none: name a file in PEM form"},
		{[]string{"publish", "--to", at, "--ca", ca}, 0, at},
		{[]string{"verify", at}, 1, "its certificate is not trusted: "},
		{[]string{"verify", at, "--ca", ca}, 1, "proven    linux/amd64  image"}, // the image itself has no provenance
	} {
		if output, code := p.ci(t, nil, try.args...); code != try.code || !strings.Contains(output, try.says) {
			t.Errorf("%v: status %d, want %d and %q:\n%s", try.args, code, try.code, try.says, output)
		}
	}
	if tags, err := walk(backend, repo); err != nil || tags["1.0"] != p.content.digest {
		t.Errorf("tags %v (%v)", tags, err)
	}
}
