package life

import (
	"net/http"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
)

// slapdConf is a directory as small as one can be that hides its passwords,
// lets nobody look around who has not logged in, and insists on TLS for that.
const slapdConf = `
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile /run/slapd.pid
TLSCertificateFile /etc/ldap/server.crt
TLSCertificateKeyFile /etc/ldap/server.key
security simple_bind=128
database mdb
suffix dc=example,dc=com
directory /var/lib/directory
access to attrs=userPassword by anonymous auth by * none
access to * by users read by * none
`

const directory = `
dn: dc=example,dc=com
objectClass: domain
dc: example

dn: ou=services,dc=example,dc=com
objectClass: organizationalUnit
ou: services

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=example,dc=com
objectClass: organizationalUnit
ou: groups

dn: cn=netbox,ou=services,dc=example,dc=com
objectClass: applicationProcess
objectClass: simpleSecurityObject
cn: netbox
userPassword: change-this-password

dn: uid=alice,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: alice
cn: Alice Liddell
givenName: Alice
sn: Liddell
mail: alice@example.com
userPassword: wonderland

dn: uid=bob,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: bob
cn: Bob Builder
givenName: Bob
sn: Builder
mail: bob@example.com
userPassword: builder

dn: uid=mallory,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: mallory
cn: Mallory
sn: Mallory
userPassword: malice

dn: cn=netbox,ou=groups,dc=example,dc=com
objectClass: groupOfNames
cn: netbox
member: uid=alice,ou=people,dc=example,dc=com
member: uid=bob,ou=people,dc=example,dc=com

dn: cn=netbox-admins,ou=groups,dc=example,dc=com
objectClass: groupOfNames
cn: netbox-admins
member: uid=alice,ou=people,dc=example,dc=com
`

// slapd is the directory that the example of docs/ldap.md asks.
func (w *world) slapd(ca *authority) {
	w.t.Helper()
	cert, key := ca.issue("ldap.example.com")
	w.ready(engine.Container{
		Name: "ldap.example.com", Image: debian(w.t, "trixie", "slapd"),
		Entrypoint: []string{"sh", "-c", "mkdir /var/lib/directory && slapadd -f /etc/ldap/test.conf -l /etc/ldap/test.ldif && exec slapd -f /etc/ldap/test.conf -h 'ldap:/// ldaps:///' -d 0"},
		Ready:      listens(389, 636),
		Files: []engine.File{
			{Path: "/etc/ldap/test.conf", Mode: 0o600, Content: []byte(slapdConf)},
			{Path: "/etc/ldap/test.ldif", Mode: 0o600, Content: []byte(directory)},
			{Path: "/etc/ldap/server.crt", Mode: 0o644, Content: cert},
			{Path: "/etc/ldap/server.key", Mode: 0o600, Content: key},
		},
	})
}

func TestLDAPUsersLogInWithTheirGroups(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	postgres, _ := w.services()
	ca := newAuthority(t)
	w.slapd(ca)
	ldap := map[string]string{"REMOTE_AUTH_BACKEND": "netbox.authentication.LDAPBackend"}
	settings := fence(t, "python", "AUTH_LDAP_SERVER_URI")

	for _, test := range []struct{ written, says string }{
		{"", "/config/ldap_config.py is required with REMOTE_AUTH_BACKEND=netbox.authentication.LDAPBackend"},
		{"\nimport lpad\n", "/config/ldap_config.py, line 2: ModuleNotFoundError"},
		{"import ldap\n", "/config/ldap_config.py must set AUTH_LDAP_SERVER_URI"},
	} {
		if test.written != "" {
			w.write("ldap_config.py", test.written)
		}
		w.ends(ldap, test.says)
	}

	w.write("ldap_config.py", settings)
	w.write("ldap-ca.crt", string(ca.pem))
	c := w.netbox(ldap)
	w.up(c, "/login/")
	at := "http://" + host + ":8000"
	w.browse(at, nil).mustLogIn("alice", "wonderland")
	w.browse(at, nil).mustLogIn("bob", "builder")
	w.browse(at, nil).mustLogIn("admin", password) // NetBox's own
	for user, secret := range map[string]string{
		"alice":   "wrong",
		"nobody":  "wonderland",
		"mallory": "malice", // not in the group that is required
	} {
		b := w.browse(at, nil)
		if res := b.logIn(user, secret); res.status != http.StatusOK || b.who() != "" {
			t.Errorf("%s with %s is answered with %d and makes the browser %q", user, secret, res.status, b.who())
		}
	}
	token := w.token()
	for user, want := range map[string]struct{ groups, mail, super string }{
		"alice": {"netbox netbox-admins", "alice@example.com", "t"},
		"bob":   {"netbox", "bob@example.com", "f"},
	} {
		found := w.must(http.StatusOK, http.MethodGet, "/api/users/users/?username="+user, token, nil)["results"].([]any)[0].(map[string]any)
		var groups []string
		for _, group := range found["groups"].([]any) {
			groups = append(groups, group.(map[string]any)["name"].(string))
		}
		super := w.query(postgres, "select is_superuser from users_user where username = '"+user+"'") // the API keeps it to itself
		if strings.Join(groups, " ") != want.groups || found["email"] != want.mail || super != want.super {
			t.Errorf("%s is in %q, has %v, is a superuser: %s; want %+v", user, groups, found["email"], super, want)
		}
	}
	w.stop(c)

	// The same directory under a certificate of nobody they know.
	w.write("ldap-ca.crt", string(newAuthority(t).pem))
	w.write("ldap_config.py", strings.NewReplacer("ldap://", "ldaps://", "AUTH_LDAP_START_TLS = True", "").Replace(settings))
	c = w.netbox(ldap)
	w.up(c, "/login/")
	if res := w.browse(at, nil).logIn("alice", "wonderland"); res.status != http.StatusOK {
		t.Errorf("logging in to a directory that is not to be trusted answers %d", res.status)
	}
	if log := said(c); strings.Count(log, "LDAPError") != 1 || !strings.Contains(log, "certificate") || strings.Contains(log, "Traceback") {
		t.Error("the log does not report the certificate in one line")
	}
	w.browse(at, nil).mustLogIn("admin", password)
	w.stop(c)

	w.write("ldap-ca.crt", string(ca.pem))
	c = w.netbox(ldap)
	w.up(c, "/login/")
	w.browse(at, nil).mustLogIn("alice", "wonderland") // by ldaps
	w.stop(c)
}
