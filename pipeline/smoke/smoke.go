// Package smoke defines the smoke test of a booted NetBox: the list of checks, the
// stream in which the probe inside the container reports results, and the
// evaluation of that stream.
//
// The pipeline and the probe share it, so it imports little more than the
// standard library.
package smoke

import (
	"fmt"
	"slices"
	"strings"
)

// RefusedHost is a host name that NetBox must refuse. The check "host" requests
// it.
const RefusedHost = "other-host.invalid"

// Check is one check of the running NetBox.
type Check struct {
	ID      string
	Promise string   // what a pass proves
	Hint    string   // where to look after a failure
	Needs   []string // checks that must pass before this one runs
}

// Checks returns all checks of a run in start order: slow checks, and those that
// others need, come first. A run passes only if each is reported exactly once.
func Checks() []Check {
	return []Check{
		{"ready", "the log-in page answers 200", "the log of svc-netbox-prepare and svc-netbox", nil},
		{"static", "the log-in page's style sheets, scripts and images are served with their types", "the web server's static mount and BASE_PATH", []string{"ready"}},
		{"host", "a host name not in ALLOWED_HOST gets 400", "ALLOWED_HOSTS in the configuration module", []string{"ready"}},
		{"graphql", "GraphQL finds the user", "the log of svc-netbox", []string{"ready"}},
		{"login", "the superuser logs in and sees the dashboard", "SUPERUSER_EMAIL, SUPERUSER_PASSWORD and the log of svc-netbox", []string{"ready"}},
		{"site", "a site is created and read back", "the database's log and the log of svc-netbox", []string{"ready"}},
		{"see-login", "a browser shows the log-in page", "the page's picture, its static files and the log of svc-netbox", []string{"ready"}},
		{"see-dashboard", "after log-in, a browser shows the dashboard", "the page's picture and the log of svc-netbox", []string{"see-login", "login"}},
		{"see-site", "a browser shows the site's page", "the page's picture and the log of svc-netbox", []string{"see-dashboard", "site"}},
		{"token", "a version-2 API token is created and accepted", "API_TOKEN_PEPPERS under /config", []string{"ready"}},
		{"password", "a wrong password is refused", "the authentication back ends", []string{"ready"}},
		{"version", "the pinned NetBox release answers to the token of SUPERUSER_API_TOKEN", "the release in versions.yml, the image's netbox package and API_TOKEN_PEPPERS under /config", []string{"ready"}},
		{"workers", "a background worker is running", "the worker's log and the Redis settings", []string{"ready"}},
		{"prefix", "a prefix in that site is created and read back", "the database's log and the log of svc-netbox", []string{"site"}},
		{"address", "an IP address is created and read back", "the database's log and the log of svc-netbox", []string{"ready"}},
		{"image", "an uploaded image is stored under /config and served to logged-in users", "MEDIA_ROOT and the owner of its folder", []string{"site", "login"}},
		{"job", "a background job runs to its end", "the worker's log", []string{"workers"}},
		{"delete", "address, prefix and site are deleted and then gone", "the log of svc-netbox", []string{"site", "prefix", "address", "image", "see-site"}},
		{"imports", "LDAP, Pillow and psycopg's C implementation can be imported", "the image's Python packages and their system libraries", []string{"ready"}},
		{"secrets", "the secrets under /config belong to PUID and have mode 0600", "init-netbox-config", nil},
		{"steady", "no service died", "the service's own lines in the log", []string{"job"}},
		{"processes", "only supervisors run as root", "the run scripts' s6-setuidgid", []string{"ready"}},
	}
}

// Picture returns the path of the check's screenshot inside the container, "" for
// a check without one.
func Picture(check string) string {
	if page, looks := strings.CutPrefix(check, "see-"); looks {
		return "/netbox-probe-pictures/" + page + ".png"
	}
	return ""
}

// Result is the result of one check.
type Result struct {
	Check   string  `json:"check"`
	OK      bool    `json:"ok"`
	Asked   string  `json:"asked"`           // the request, in words
	Got     string  `json:"got"`             // the response, in words
	Needs   string  `json:"needs,omitempty"` // the failed check because of which this one was skipped
	Seconds float64 `json:"seconds"`         // duration of the check
}

// String formats the result as one line.
func (r Result) String() string {
	if r.OK {
		return fmt.Sprintf("%s: ok: asked %s, got %s", r.Check, r.Asked, r.Got)
	}
	s := fmt.Sprintf("%s: FAILED: asked %s, got %s", r.Check, r.Asked, r.Got)
	if i := slices.IndexFunc(Checks(), func(c Check) bool { return c.ID == r.Check }); i >= 0 {
		s += "; look at " + Checks()[i].Hint
	}
	return s
}

// Summary counts the results. The probe writes it after them.
type Summary struct {
	Checks int `json:"checks"`
	Failed int `json:"failed"`
}
