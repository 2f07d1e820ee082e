package publish_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

const accept = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"

// get reads the response to one request to a registry.
func get(url string) (body []byte, status int, err error) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Accept", accept)
	resp, err := client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return body, resp.StatusCode, err
}

// walk reads every manifest and blob below every tag of a repository, and
// returns the digest of each tag. Content that is absent or does not match its
// digest is an error. It uses none of the code under test.
func walk(host, repository string) (tags map[string]string, err error) {
	tags, broken, err := look(host, repository)
	for _, why := range broken {
		err = errors.Join(err, why)
	}
	return tags, err
}

// look is like walk, but returns the broken tags with the reasons.
func look(host, repository string) (tags map[string]string, broken map[string]error, err error) {
	at := "http://" + host + "/v2/" + repository
	body, status, err := get(at + "/tags/list")
	if err != nil {
		return nil, nil, err
	}
	if status == http.StatusNotFound {
		return nil, nil, nil // the repository was never pushed to
	}
	var list struct{ Tags []string }
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, nil, fmt.Errorf("list the tags of %s: status %d: %w: %s", repository, status, err, body)
	}
	tags, broken = map[string]string{}, map[string]error{}
	seen := map[string]bool{}
	for _, tag := range list.Tags {
		manifest, status, err := get(at + "/manifests/" + tag)
		switch {
		case err != nil:
			return nil, nil, err
		case status == http.StatusNotFound:
			continue // listed but absent: docker-registry creates the directory of a tag first
		case status != http.StatusOK:
			broken[tag] = fmt.Errorf("tag %s: status %d: %s", tag, status, manifest)
			continue
		}
		digest, _, err := v1.SHA256(strings.NewReader(string(manifest)))
		if err != nil {
			return nil, nil, err
		}
		if err := below(at, manifest, seen); err != nil {
			broken[tag] = fmt.Errorf("tag %s is incomplete: %w", tag, err)
			continue
		}
		tags[tag] = digest.String()
	}
	return tags, broken, nil
}

// below reads everything that a manifest refers to and that is not yet in seen.
func below(at string, manifest []byte, seen map[string]bool) error {
	var m struct {
		Manifests []v1.Descriptor
		Config    *v1.Descriptor
		Layers    []v1.Descriptor
	}
	if err := json.Unmarshal(manifest, &m); err != nil {
		return err
	}
	for _, child := range m.Manifests {
		if seen[child.Digest.String()] {
			continue
		}
		body, err := read(at+"/manifests/", child)
		if err != nil {
			return err
		}
		if err := below(at, body, seen); err != nil {
			return err
		}
		seen[child.Digest.String()] = true
	}
	blobs := m.Layers
	if m.Config != nil {
		blobs = append(blobs, *m.Config)
	}
	for _, blob := range blobs {
		if seen[blob.Digest.String()] {
			continue
		}
		if _, err := read(at+"/blobs/", blob); err != nil {
			return err
		}
		seen[blob.Digest.String()] = true
	}
	return nil
}

// read reads the content of a descriptor and checks its digest and size.
func read(at string, d v1.Descriptor) ([]byte, error) {
	body, status, err := get(at + d.Digest.String())
	if err != nil {
		return nil, err
	}
	digest, size, err := v1.SHA256(strings.NewReader(string(body)))
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK || digest != d.Digest || size != d.Size {
		return nil, fmt.Errorf("%s of %d bytes: status %d, %d bytes, %s", d.Digest, d.Size, status, size, digest)
	}
	return body, nil
}

// attachedTo returns the digests of the documents attached to a subject, as the
// registry lists them.
func attachedTo(t testing.TB, host, repository string, subject v1.Hash) (digests []string) {
	t.Helper()
	ref, err := name.NewDigest(host + "/" + repository + "@" + subject.String())
	must(t, err)
	referrers, err := remote.Referrers(ref)
	must(t, err)
	manifest, err := referrers.IndexManifest()
	must(t, err)
	for _, d := range manifest.Manifests {
		digests = append(digests, d.Digest.String())
	}
	return digests
}
