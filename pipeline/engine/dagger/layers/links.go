package layers

import (
	"archive/tar"
	"io"
	"maps"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/archive"
)

// An engine with its own certificates copies them into the first directory in each
// container, and creates links to them in the second.
const (
	certificatesDir = "usr/local/share/ca-certificates"
	linksDir        = "etc/ssl/certs"
)

// certificateLinks returns the names of entries that such an engine leaves in the last
// of some layers: links to certificates that it has removed again, and directories that
// exist only for these links. Without them the layer equals that of other engines.
func certificateLinks(layers []v1.Layer) (map[string]bool, error) {
	own, err := headers(layers[len(layers)-1])
	if err != nil {
		return nil, err
	}
	leftovers := map[string]bool{}
	for name, h := range own {
		if h.Typeflag == tar.TypeSymlink && path.Dir(name) == linksDir && path.Dir(strings.TrimPrefix(h.Linkname, "/")) == certificatesDir {
			leftovers[name] = true
		}
	}
	for _, l := range layers { // links to certificates that an instruction copied are kept
		if len(leftovers) == 0 {
			return nil, nil
		}
		entries, err := headers(l)
		if err != nil {
			return nil, err
		}
		maps.DeleteFunc(leftovers, func(name string, _ bool) bool {
			return entries[strings.TrimPrefix(own[name].Linkname, "/")] != nil
		})
	}
	if len(leftovers) == 0 {
		return nil, nil
	}
	for name, h := range own { // links named by a hash point to the links above
		if h.Typeflag == tar.TypeSymlink && path.Dir(name) == linksDir && leftovers[path.Join(linksDir, h.Linkname)] {
			leftovers[name] = true
		}
	}
	for dir := linksDir; dir != "."; dir = path.Dir(dir) {
		for name := range own {
			if !leftovers[name] && strings.HasPrefix(name, dir+"/") {
				return leftovers, nil
			}
		}
		leftovers[dir] = true
	}
	return leftovers, nil
}

// headers returns the tar headers of a layer, by name.
func headers(l v1.Layer) (map[string]*tar.Header, error) {
	r, err := l.Uncompressed()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	found := map[string]*tar.Header{}
	return found, archive.Walk(r, func(h *tar.Header, _ io.Reader) error {
		found[entryName(h)] = h
		return nil
	})
}

func entryName(h *tar.Header) string { return strings.TrimPrefix(path.Clean(h.Name), "/") }
