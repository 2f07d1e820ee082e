package dagger

import (
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const twoStages = `ARG BASE_IMAGE=x
FROM native AS lock
COPY build/lock \
     /build/
RUN make
FROM ${BASE_IMAGE} AS image
RUN --mount=type=bind,source=a,target=/a \
    # why
    /a run && \
    rm -rf /b
ENV A=1
COPY --from=lock --chown=0:0 /made /opt/made
`

// built returns an image with a layer for each history entry of Dagger.
func built(t *testing.T, createdBy ...string) v1.Image {
	t.Helper()
	img := v1.Image(empty.Image)
	for i, by := range createdBy {
		var err error
		layer := static.NewLayer([]byte{byte(i)}, types.OCILayer)
		if img, err = mutate.Append(img, mutate.Addendum{Layer: layer, History: v1.History{CreatedBy: by}}); err != nil {
			t.Fatal(err)
		}
	}
	return img
}

func TestTheHistoryHasTheInstructionOfEachLayer(t *testing.T) {
	const base, run, copied = "import image layer sha256:1", "mount / from exec /bin/sh -c /a run && rm -rf /b", "Directory.withDirectoryDockerfileCompat"
	for _, c := range []struct {
		name, target    string
		createdBy, want []string
	}{
		{
			"the last stage", "", []string{base, base, run, copied},
			[]string{base, base, "RUN /bin/sh -c /a run && rm -rf /b # buildkit", "COPY /made /opt/made # buildkit"},
		},
		{
			"a stage by name", "LOCK", []string{base, copied, "exec /bin/sh -c make"},
			[]string{base, "COPY build/lock /build/ # buildkit", "RUN /bin/sh -c make # buildkit"},
		},
		{"no stage of that name", "other", []string{base, run, copied}, []string{base, run, copied}},
		{"another command", "", []string{base, "exec /bin/sh -c make", copied}, []string{base, "exec /bin/sh -c make", copied}},
		{"another order", "", []string{base, copied, run}, []string{base, copied, run}},
		{"too few layers", "", []string{copied}, []string{copied}},
	} {
		t.Run(c.name, func(t *testing.T) {
			img, err := withHistory(built(t, c.createdBy...), twoStages, c.target)
			if err != nil {
				t.Fatal(err)
			}
			config, err := img.ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, h := range config.History {
				got = append(got, h.CreatedBy)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}
