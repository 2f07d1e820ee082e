package registry

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

// Target is a tag to publish an index, or the image of one of its platforms, to.
type Target struct {
	tag       name.Tag
	text      string // as given, with the tag
	plainHost string // the registry if plain http is allowed, or ""
	platform  string // Key of the image the tag is for, "" for the index
	movable   bool   // the tag may move to another image
}

// For returns the target with its tag for the image of a platform, as named by Key,
// or for the index if platform is empty.
func (t Target) For(platform string) Target {
	t.platform = platform
	return t
}

// Movable returns the target with a tag that may move to another image, as latest
// always may.
func (t Target) Movable() Target {
	t.movable = true
	return t
}

// latest reports whether the tag is "latest", of the index or of one image:
// "arm64v8-latest".
func (t Target) latest() bool {
	tag := t.tag.TagStr()
	return tag == "latest" || strings.HasSuffix(tag, "-latest")
}

// Repository returns REGISTRY/NAME.
func (t Target) Repository() string { return strings.TrimSuffix(t.text, ":"+t.tag.TagStr()) }

// Registry returns HOST[:PORT]; for docker.io this is index.docker.io.
func (t Target) Registry() string { return t.tag.RegistryStr() }

// String returns REGISTRY/NAME:TAG.
func (t Target) String() string { return t.text }

const targetExample = "write REGISTRY/NAME[:TAG], as in ghcr.io/linuxserver/netbox:latest"

var (
	hostName   = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*$`)
	pathPart   = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$`)
	tagPattern = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

// ParseTarget parses REGISTRY/NAME[:TAG]; the default tag is latest. The registry has
// no default: a name without one fails rather than going to Docker Hub. https is
// used, on loopback also plain http; a leading http:// allows plain http elsewhere.
func ParseTarget(s string) (Target, error) {
	usageError := func(format string, args ...any) (Target, error) {
		return Target{}, failure.Usagef("publishing to %q: "+format+"; "+targetExample, append([]any{s}, args...)...)
	}
	rest, plainHost := cutHTTP(s)
	host, path, slash := strings.Cut(rest, "/")
	path, tag, found := strings.Cut(path, ":")
	if !found {
		tag = "latest"
	}
	hostError := hostProblem(host)
	parts := strings.Split(path, "/")
	badPart := slices.IndexFunc(parts, func(part string) bool { return !pathPart.MatchString(part) })
	switch {
	case rest == "":
		return usageError("the name is empty")
	case strings.ContainsAny(rest, " \t\r\n"):
		return usageError("there is white space in it")
	case strings.Contains(rest, "://"):
		return usageError("leave out %q", rest[:strings.Index(rest, "://")+3])
	case strings.Contains(rest, "@"):
		return usageError("a digest cannot be published to, only a tag")
	case !slash || !strings.ContainsAny(host, ".:") && host != "localhost":
		return usageError("it does not begin with a registry")
	case hostError != "":
		return usageError("the registry %q %s", host, hostError)
	case (host == "docker.io" || host == "index.docker.io") && len(parts) == 1:
		return usageError("Docker Hub wants a namespace and a name, %[2]s/NAMESPACE/%[3]s or %[2]s/%[3]s/NAME", host, path)
	case !tagPattern.MatchString(tag):
		return usageError("the tag %q is not made of 1 to 128 letters, digits, '_', '.' and '-', beginning with none of the last two", tag)
	case badPart >= 0:
		return usageError("the part %q of the name is not made of lower-case letters and digits with single '.', '_' or '-' between", parts[badPart])
	}

	text := host + "/" + path + ":" + tag
	opts := []name.Option{name.StrictValidation}
	if plainHost != "" {
		opts = append(opts, name.Insecure)
	}
	ref, err := name.NewTag(text, opts...)
	if err != nil {
		return usageError("%v", err)
	}
	t := Target{tag: ref, text: text, plainHost: plainHost}
	t.movable = t.latest()
	return t, nil
}

// ParseTargets parses a target from each text.
func ParseTargets(texts []string) (targets []Target, err error) {
	for _, text := range texts {
		t, err := ParseTarget(text)
		if err != nil {
			return nil, err
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// hostProblem returns what is wrong with HOST[:PORT], or "".
func hostProblem(host string) string {
	h, port := host, ""
	if i := strings.LastIndex(host, ":"); i > strings.LastIndex(host, "]") {
		h, port = host[:i], host[i+1:]
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != port {
			return "has no port between 1 and 65535"
		}
	}
	if v6, ok := strings.CutPrefix(h, "["); ok {
		if v6, ok = strings.CutSuffix(v6, "]"); !ok || net.ParseIP(v6) == nil {
			return "is no IPv6 address in brackets"
		}
		return ""
	}
	if !hostName.MatchString(h) {
		return "is no host name"
	}
	return ""
}

// isLoopback reports whether HOST[:PORT] is on loopback.
func isLoopback(host string) bool {
	host = strings.ToLower((&url.URL{Host: host}).Hostname())
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(host).IsLoopback()
}
