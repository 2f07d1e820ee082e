package initgraph

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"runtime"
	"strings"
	"testing/fstest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/linuxserver/docker-netbox/pipeline/archive"
)

const (
	keepAll  = "etc/s6-overlay/" // directory whose files are kept whole
	keepHead = 256               // bytes kept of any other executable: enough for a #! line
	maxFile  = 1 << 20           // limit for a service file
	maxLinks = 40                // symbolic links followed for one path, as in Linux
)

var errNotKept = errors.New("content was not kept")

// OpenImage returns the flattened file system of an image. It has the names and
// modes of all files, but content only of files under /etc/s6-overlay and the first
// bytes of other executables; reading content that was not kept is an error.
// OpenImage streams each layer once and verifies its diff ID. Symbolic links are
// resolved inside the image.
//
// The layers are read in parallel, because decompression takes most of the time,
// and without mutate.Extract, which builds one archive of them first: a NetBox
// image took 4.9 s of CPU time with it instead of 3.0 s.
func OpenImage(img v1.Image) (fs.FS, error) {
	layers, err := img.Layers()
	if err != nil {
		return nil, fmt.Errorf("reading the layers of the image: %w", err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the configuration of the image: %w", err)
	}
	if named := len(config.RootFS.DiffIDs); len(layers) != named {
		return nil, fmt.Errorf("the image has %d layers, but its configuration names %d", len(layers), named)
	}
	contents := make([]layer, len(layers))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, l := range layers {
		group.Go(func() error {
			r, err := l.Uncompressed()
			hash := sha256.New()
			if err == nil {
				defer r.Close()
				contents[i], err = readLayer(io.TeeReader(r, hash))
			}
			if err != nil {
				return fmt.Errorf("reading layer %d of %d of the image: %w", i+1, len(layers), err)
			}
			if got, want := fmt.Sprintf("sha256:%x", hash.Sum(nil)), config.RootFS.DiffIDs[i].String(); got != want {
				return fmt.Errorf("layer %d of %d of the image unpacks to %s, but its configuration says %s: build the image again", i+1, len(layers), got, want)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	root := imageFS{}
	for _, l := range contents {
		maps.DeleteFunc(root, func(name string, _ *fstest.MapFile) bool { return l.hides(name) })
		maps.Copy(root, l.files)
	}
	return root, nil
}

// layer is the content of one layer.
type layer struct {
	files map[string]*fstest.MapFile
	// hidden has the names below which lower layers are hidden. The value is true for
	// files and whiteouts, false for opaque directories.
	hidden map[string]bool
}

// hides reports whether the layer hides a name of lower layers.
func (l layer) hides(name string) bool {
	gone := l.hidden[name]
	for name != "." && !gone {
		name = path.Dir(name)
		_, gone = l.hidden[name]
	}
	return gone
}

func readLayer(r io.Reader) (layer, error) {
	directory := &fstest.MapFile{Mode: fs.ModeDir | 0o755}
	l := layer{files: map[string]*fstest.MapFile{".": directory}, hidden: map[string]bool{}}
	err := archive.Walk(r, func(h *tar.Header, content io.Reader) error {
		name := rooted("/" + h.Name)
		dir, base := path.Split(name)
		if base == ".wh..wh..opq" {
			if dir = path.Clean(dir); !l.hidden[dir] {
				l.hidden[dir] = false
			}
			return nil
		}
		if hidden, found := strings.CutPrefix(base, ".wh."); found {
			l.hidden[dir+hidden] = true
			return nil
		}
		file := &fstest.MapFile{Mode: h.FileInfo().Mode()}
		switch h.Typeflag {
		case tar.TypeSymlink:
			file.Data = []byte(h.Linkname)
		case tar.TypeLink:
			target := rooted("/" + h.Linkname)
			if file = l.files[target]; file == nil { // the target is in a lower layer
				file = &fstest.MapFile{Mode: fs.ModeSymlink, Data: []byte("/" + target)}
			}
		case tar.TypeReg:
			keep := int64(0)
			if strings.HasPrefix(name, keepAll) {
				if keep = h.Size; keep > maxFile {
					return fmt.Errorf("%s has %d bytes: too large for a service file", name, h.Size)
				}
			} else if file.Mode&0o111 != 0 {
				keep = min(keepHead, h.Size)
			}
			if keep < h.Size {
				file.Sys = errNotKept
			}
			file.Data = make([]byte, keep)
			if _, err := io.ReadFull(content, file.Data); err != nil {
				return fmt.Errorf("reading %s: %w", name, err)
			}
		}
		l.files[name] = file
		if !file.Mode.IsDir() {
			l.hidden[name] = true
		}
		for dir := path.Dir(name); l.files[dir] == nil; dir = path.Dir(dir) { // archives may omit parent directories
			l.files[dir] = directory
		}
		return nil
	})
	return l, err
}

// imageFS is the flattened file system. The content of a symbolic link is its
// target.
type imageFS fstest.MapFS

// Open resolves symbolic links and opens the target like a MapFS.
func (f imageFS) Open(name string) (fs.File, error) {
	real, err := f.resolve(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	file, err := fstest.MapFS(f).Open(real)
	if err == nil && f[real].Sys != nil {
		return head{file}, nil
	}
	return file, err
}

// resolve resolves the symbolic links in a name. Unlike in a MapFS, they may be
// absolute, lead above the root, which ends at the root, and form loops.
func (f imageFS) resolve(name string) (string, error) {
	if !fs.ValidPath(name) {
		return "", fs.ErrInvalid
	}
	real, links := ".", 0
	for todo := strings.Split(name, "/"); len(todo) > 0; {
		next := rooted(path.Join("/", real, todo[0]))
		todo = todo[1:]
		switch file := f[next]; {
		case file == nil:
			return "", fs.ErrNotExist
		case file.Mode&fs.ModeSymlink == 0:
			real = next
		case links == maxLinks:
			return "", errors.New("too many symbolic links")
		default:
			links++
			todo = append(strings.Split(string(file.Data), "/"), todo...)
			if path.IsAbs(string(file.Data)) {
				real = "."
			}
		}
	}
	return real, nil
}

// head is a file of which only the beginning was kept.
type head struct{ fs.File }

func (h head) Read(p []byte) (int, error) {
	n, err := h.File.Read(p)
	if err == io.EOF {
		err = errNotKept
	}
	return n, err
}
