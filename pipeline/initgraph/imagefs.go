package initgraph

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
)

const (
	keepAll  = "etc/s6-overlay/" // files whose content is kept
	keepHead = 256               // bytes kept of any other executable: enough for a #! line
	maxFile  = 1 << 20           // no service file is as large
	maxLinks = 40                // symbolic links followed for one path, as Linux does
)

var errNotKept = errors.New("content was not kept")

// OpenImage gives the flattened file system of an image: names, modes and
// links of everything, but content only under /etc/s6-overlay, and the first
// bytes of executables. Each layer is streamed once; nothing is executed.
// Reading content that was not kept is an error. Symbolic links are followed
// inside the image.
func OpenImage(img v1.Image) (fs.FS, error) {
	layers, err := img.Layers()
	if err != nil {
		return nil, fmt.Errorf("reading the layers of the image: %w", err)
	}
	contents := make([]layer, len(layers))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0)) // decompression is what takes the time
	for i, l := range layers {
		group.Go(func() error {
			r, err := l.Uncompressed()
			if err == nil {
				defer r.Close()
				contents[i], err = readLayer(r)
			}
			if err != nil {
				return fmt.Errorf("reading layer %d of %d of the image: %w", i+1, len(layers), err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	root := newDir()
	for _, l := range contents {
		root.apply(l)
	}
	return imageFS{root}, nil
}

// node is a file, directory or symbolic link.
type node struct {
	mode    fs.FileMode
	size    int64
	time    time.Time
	link    string // target of a symbolic link
	hard    string // path of what a hard link stands for, where not in the same layer
	content []byte // all of it, or its head
	kids    map[string]*node
}

func newDir() *node {
	return &node{mode: fs.ModeDir | 0o755, kids: map[string]*node{}}
}

// layer is what one layer says: in the order it says it.
type layer struct {
	names   []string
	nodes   map[string]*node
	removed []string // whiteouts: the name goes
	emptied []string // opaque directories: what lower layers had in them goes
}

func readLayer(r io.Reader) (layer, error) {
	l := layer{nodes: map[string]*node{}}
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if err == io.EOF {
			// Rest behind the end mark; a compressed stream verifies its sum there.
			_, err = io.Copy(io.Discard, r)
			return l, err
		}
		if err != nil {
			return l, err
		}
		name := clean(h.Name)
		dir, base := path.Split(name)
		if base == ".wh..wh..opq" {
			l.emptied = append(l.emptied, path.Clean(dir))
			continue
		}
		if hidden, ok := strings.CutPrefix(base, ".wh."); ok {
			l.removed = append(l.removed, dir+hidden)
			continue
		}
		n := &node{mode: h.FileInfo().Mode(), size: h.Size, time: h.ModTime}
		switch h.Typeflag {
		case tar.TypeDir:
			n.kids = map[string]*node{}
		case tar.TypeSymlink:
			n.link = h.Linkname
		case tar.TypeLink:
			if same := l.nodes[clean(h.Linkname)]; same != nil {
				n = same
			} else {
				n.hard = clean(h.Linkname)
			}
		case tar.TypeReg:
			keep := int64(0)
			if strings.HasPrefix(name, keepAll) {
				if keep = h.Size; keep > maxFile {
					return l, fmt.Errorf("%s has %d bytes: too large for a service file", name, h.Size)
				}
			} else if n.mode&0o111 != 0 {
				keep = min(keepHead, h.Size)
			}
			n.content = make([]byte, keep)
			if _, err := io.ReadFull(t, n.content); err != nil {
				return l, fmt.Errorf("reading %s: %w", name, err)
			}
		}
		l.names = append(l.names, name)
		l.nodes[name] = n
	}
}

// clean turns a name in an archive into one of io/fs.
func clean(name string) string {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if name == "" {
		return "."
	}
	return name
}

// apply puts a layer on top of what is there. Whiteouts speak of the layers
// below only, so they come first.
func (root *node) apply(l layer) {
	for _, name := range l.emptied {
		if n := root.at(name); n != nil && n.kids != nil {
			clear(n.kids)
		}
	}
	for _, name := range l.removed {
		if n := root.at(path.Dir(name)); n != nil {
			delete(n.kids, path.Base(name))
		}
	}
	for _, name := range l.names {
		n := l.nodes[name]
		if n.hard != "" {
			if n = root.at(n.hard); n == nil {
				continue // a link to nothing
			}
		}
		if name == "." {
			root.mode = n.mode
			continue
		}
		parent := root
		if dir := path.Dir(name); dir != "." {
			for elem := range strings.SplitSeq(dir, "/") {
				kid := parent.kids[elem]
				if kid == nil || kid.kids == nil {
					kid = newDir()
					parent.kids[elem] = kid
				}
				parent = kid
			}
		}
		base := path.Base(name)
		if old := parent.kids[base]; old != nil && old.kids != nil && n.kids != nil {
			old.mode, old.time = n.mode, n.time // a directory over a directory merges
			continue
		}
		parent.kids[base] = n
	}
}

// at finds a node without following links.
func (root *node) at(name string) *node {
	n := root
	if name != "." {
		for elem := range strings.SplitSeq(name, "/") {
			if n = n.kids[elem]; n == nil {
				return nil
			}
		}
	}
	return n
}

// imageFS is the io/fs view of a tree of nodes.
type imageFS struct{ root *node }

// find walks to a name. Links on the way are followed, the last one only if
// asked to.
func (f imageFS) find(op, name string, follow bool) (*node, error) {
	fail := func(err error) (*node, error) { return nil, &fs.PathError{Op: op, Path: name, Err: err} }
	if !fs.ValidPath(name) {
		return fail(fs.ErrInvalid)
	}
	var (
		way   = []*node{f.root} // from the root to where we are, for ".."
		todo  = strings.Split(name, "/")
		links int
	)
	for len(todo) > 0 {
		elem := todo[0]
		todo = todo[1:]
		here := way[len(way)-1]
		switch elem {
		case "", ".":
			continue
		case "..":
			way = way[:max(1, len(way)-1)]
			continue
		}
		n := here.kids[elem]
		if n == nil {
			return fail(fs.ErrNotExist)
		}
		if n.mode&fs.ModeSymlink != 0 && (follow || len(todo) > 0) {
			if links++; links > maxLinks {
				return fail(errors.New("too many symbolic links"))
			}
			if path.IsAbs(n.link) {
				way = way[:1]
			}
			todo = append(strings.Split(n.link, "/"), todo...)
			continue
		}
		way = append(way, n)
	}
	return way[len(way)-1], nil
}

func (f imageFS) Open(name string) (fs.File, error) {
	n, err := f.find("open", name, true)
	if err != nil {
		return nil, err
	}
	return &file{info: info{path.Base(name), n}}, nil
}

func (f imageFS) Stat(name string) (fs.FileInfo, error) {
	n, err := f.find("stat", name, true)
	return info{path.Base(name), n}, err
}

func (f imageFS) Lstat(name string) (fs.FileInfo, error) {
	n, err := f.find("lstat", name, false)
	return info{path.Base(name), n}, err
}

func (f imageFS) ReadLink(name string) (string, error) {
	n, err := f.find("readlink", name, false)
	if err == nil && n.mode&fs.ModeSymlink == 0 {
		err = &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	if err != nil {
		return "", err
	}
	return n.link, nil
}

// info is a node under a name: its fs.FileInfo and fs.DirEntry.
type info struct {
	name string
	*node
}

func (i info) Name() string               { return i.name }
func (i info) Size() int64                { return i.size }
func (i info) Mode() fs.FileMode          { return i.mode }
func (i info) Type() fs.FileMode          { return i.mode.Type() }
func (i info) ModTime() time.Time         { return i.time }
func (i info) IsDir() bool                { return i.mode.IsDir() }
func (i info) Sys() any                   { return nil }
func (i info) Info() (fs.FileInfo, error) { return i, nil }

// file is an open info.
type file struct {
	info
	at int
}

func (f *file) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *file) Close() error               { return nil }

func (f *file) Read(p []byte) (int, error) {
	switch {
	case f.kids != nil:
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: fs.ErrInvalid}
	case f.at < len(f.content):
		n := copy(p, f.content[f.at:])
		f.at += n
		return n, nil
	case int64(f.at) < f.size:
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: errNotKept}
	}
	return 0, io.EOF
}

func (f *file) ReadDir(n int) ([]fs.DirEntry, error) {
	if f.kids == nil {
		return nil, &fs.PathError{Op: "readdir", Path: f.name, Err: fs.ErrInvalid}
	}
	var entries []fs.DirEntry
	for _, name := range slices.Sorted(maps.Keys(f.kids))[f.at:] {
		if n > 0 && len(entries) == n {
			break
		}
		entries = append(entries, info{name, f.kids[name]})
	}
	f.at += len(entries)
	if n > 0 && len(entries) == 0 {
		return nil, io.EOF
	}
	return entries, nil
}
