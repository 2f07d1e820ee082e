package rehearsal

import (
	"bufio"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"sync"
	"testing"
)

const issuer = "https://token.actions.githubusercontent.com"

// startSigstore starts a Sigstore that certifies one identity, and returns a URL
// that signs posted statements. It stops when the test ends.
func startSigstore(t *testing.T, program, identity, roots string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, identity, issuer, roots)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, begin(cmd))
	answers := bufio.NewReader(out)
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		statement, err := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			_, err = io.WriteString(in, base64.StdEncoding.EncodeToString(statement)+"\n")
		}
		var bundle []byte
		if err == nil {
			bundle, err = answers.ReadBytes('\n')
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(bundle)
	}))
	t.Cleanup(func() {
		server.Close()
		in.Close()
		if err := end(cmd); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	return server.URL
}
