package registry

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// queries matches what an address asks for: registries put tokens there.
var queries = regexp.MustCompile(`(https?://[^\s"?]*)\?[^\s"]*`)

// full matches how registries say that there is no room left.
var full = regexp.MustCompile(`(?i)quota|storage|exceed|disk|limit`)

// explain puts a registry's answer into a few words, with the way out where
// there is one.
func explain(err error) error {
	if login, ok := errors.AsType[marked](err); ok && login.as == errLogin { // without the request that came too early
		err = login.error
	}
	if certificate, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return explained{fmt.Sprintf("its certificate is not trusted: %v; name the file with the certificate of its authority with --ca or in SSL_CERT_FILE", certificate.Err), err}
	}
	status := answer(err)
	if status.StatusCode == 0 || errors.Is(err, errDropped) {
		return explained{strings.Join(strings.Fields(queries.ReplaceAllString(err.Error(), "$1")), " "), err}
	}
	text := fmt.Sprintf("the registry answered %d %s", status.StatusCode, http.StatusText(status.StatusCode))
	var said string
	for _, e := range status.Errors {
		if e.Message != "" {
			said += fmt.Sprintf(" (%s)", strings.Join(strings.Fields(e.Message), " "))
		}
	}
	text += said
	switch {
	case status.StatusCode == http.StatusForbidden && full.MatchString(said):
		text += "; make room there or have the limit raised, then publish again"
	case status.StatusCode == http.StatusUnauthorized || status.StatusCode == http.StatusForbidden:
		host := cmp.Or(status.Request.URL.Host, "the registry")
		text += fmt.Sprintf("; log in to %s with an account that may do that (docker login, or the variables REGISTRY_USERNAME_%[2]s and REGISTRY_PASSWORD_%[2]s)", host, variable(host))
	}
	return explained{text, err}
}

// answer is what a registry answered, according to an error; of status 0 when
// none did.
func answer(err error) (a transport.Error) {
	if found, ok := errors.AsType[*transport.Error](err); ok {
		a = *found
	}
	if a.Request == nil {
		a.Request = &http.Request{URL: &url.URL{}}
	}
	return a
}

// says reports whether an answer has one of the codes.
func says(a transport.Error, codes ...transport.ErrorCode) bool {
	return slices.ContainsFunc(a.Errors, func(d transport.Diagnostic) bool { return slices.Contains(codes, d.Code) })
}

// marked is an error of which more is known than it says.
type marked struct {
	error
	as error
}

func (m marked) Unwrap() []error { return []error{m.error, m.as} }

var (
	// errDropped is a failure of the line, in whatever words HTTP/1.1, HTTP/2,
	// TLS or the system have for it: a reset, RST_STREAM, GOAWAY, a body that
	// ends early.
	errDropped = errors.New("the line broke")
	// errLogin is a failure to log in, before the request itself.
	errLogin = errors.New("the login failed")
	// errNotYet is the answer of a registry that does not show yet what it has
	// taken.
	errNotYet = errors.New("it is not there yet")
)

// explained is an error in other words.
type explained struct {
	text string
	err  error
}

func (e explained) Error() string { return e.text }
func (e explained) Unwrap() error { return e.err }
