package life

import (
	"net/http"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
)

// slapdConf configures a minimal directory that hides passwords, allows anonymous users
// no search, and requires TLS for binds.
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

// slapd starts the directory server that the example in docs/ldap.md queries.
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
	w.browse(at, nil).mustLogIn("admin", password) // NetBox's own account
	for user, secret := range map[string]string{
		"alice":   "wrong",
		"nobody":  "wonderland",
		"mallory": "malice", // not in the required group
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
		super := w.query(postgres, "select is_superuser from users_user where username = '"+user+"'") // the API does not return it
		if strings.Join(groups, " ") != want.groups || found["email"] != want.mail || super != want.super {
			t.Errorf("%s is in %q, has %v, is a superuser: %s; want %+v", user, groups, found["email"], super, want)
		}
	}
	w.stop(c)

	// The same directory with a certificate from an unknown authority.
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
	w.browse(at, nil).mustLogIn("alice", "wonderland") // over ldaps
	w.stop(c)
}

// theirs is netbox-docker's ldap_config.py: it reads variables, and the password from a
// secret. An unset group is an empty string there.
const theirs = `
from importlib import import_module
from os import environ

import ldap
from django_auth_ldap.config import LDAPSearch


def secret(name, default):
    try:
        with open('/run/secrets/' + name, encoding='utf-8') as file:
            return file.readline().strip()
    except OSError:
        return default


def true(name, default='False'):
    return environ.get(name, default).lower() == 'true'


def search(base, condition):
    return LDAPSearch(environ.get(base, ''), ldap.SCOPE_SUBTREE, condition)


AUTH_LDAP_SERVER_URI = environ.get('AUTH_LDAP_SERVER_URI', '')
AUTH_LDAP_CONNECTION_OPTIONS = {ldap.OPT_REFERRALS: 0}
AUTH_LDAP_BIND_DN = environ.get('AUTH_LDAP_BIND_DN', '')
AUTH_LDAP_BIND_PASSWORD = secret('auth_ldap_bind_password', environ.get('AUTH_LDAP_BIND_PASSWORD', ''))
AUTH_LDAP_USER_DN_TEMPLATE = environ.get('AUTH_LDAP_USER_DN_TEMPLATE', None)
AUTH_LDAP_START_TLS = true('AUTH_LDAP_START_TLS')
LDAP_IGNORE_CERT_ERRORS = true('LDAP_IGNORE_CERT_ERRORS')
AUTH_LDAP_USER_SEARCH = search('AUTH_LDAP_USER_SEARCH_BASEDN', '(' + environ.get('AUTH_LDAP_USER_SEARCH_ATTR', 'sAMAccountName') + '=%(user)s)')
AUTH_LDAP_GROUP_SEARCH = search('AUTH_LDAP_GROUP_SEARCH_BASEDN', '(objectClass=' + environ.get('AUTH_LDAP_GROUP_SEARCH_CLASS', 'group') + ')')
AUTH_LDAP_GROUP_TYPE = getattr(import_module('django_auth_ldap.config'), environ.get('AUTH_LDAP_GROUP_TYPE', 'GroupOfNamesType'))()
AUTH_LDAP_REQUIRE_GROUP = environ.get('AUTH_LDAP_REQUIRE_GROUP_DN')
AUTH_LDAP_USER_FLAGS_BY_GROUP = {}
if AUTH_LDAP_REQUIRE_GROUP is not None:
    AUTH_LDAP_USER_FLAGS_BY_GROUP = {
        'is_active': environ.get('AUTH_LDAP_REQUIRE_GROUP_DN', ''),
        'is_staff': environ.get('AUTH_LDAP_IS_ADMIN_DN', ''),
        'is_superuser': environ.get('AUTH_LDAP_IS_SUPERUSER_DN', ''),
    }
AUTH_LDAP_FIND_GROUP_PERMS = true('AUTH_LDAP_FIND_GROUP_PERMS', 'True')
AUTH_LDAP_MIRROR_GROUPS = true('AUTH_LDAP_MIRROR_GROUPS')
AUTH_LDAP_CACHE_TIMEOUT = int(environ.get('AUTH_LDAP_CACHE_TIMEOUT', 3600))
AUTH_LDAP_USER_ATTR_MAP = {'first_name': 'givenName', 'last_name': 'sn', 'email': 'mail'}
`

// TestLDAPOfNetboxDockerMovesAsThePageSays keeps the file and the variables, and
// appends the content of extra.py, as docs/migration.md describes.
func TestLDAPOfNetboxDockerMovesAsThePageSays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	postgres, _ := w.services()
	ca := newAuthority(t)
	w.slapd(ca)
	w.write("ldap-ca.crt", string(ca.pem))
	w.write("ldap_config.py", theirs+"\n# extra.py\nimport ldap\n\nLDAP_CA_CERT_FILE = '/config/ldap-ca.crt'\n")
	spec := w.spec("netbox", map[string]string{
		// As in netbox-docker's guide.
		"REMOTE_AUTH_ENABLED": "True", "REMOTE_AUTH_BACKEND": "netbox.authentication.LDAPBackend", "REMOTE_AUTH_AUTO_CREATE_USER": "True",
		"AUTH_LDAP_SERVER_URI": "ldap://ldap.example.com", "AUTH_LDAP_START_TLS": "true",
		"AUTH_LDAP_BIND_DN":            "cn=netbox,ou=services,dc=example,dc=com",
		"AUTH_LDAP_USER_SEARCH_BASEDN": "ou=people,dc=example,dc=com", "AUTH_LDAP_USER_SEARCH_ATTR": "uid",
		"AUTH_LDAP_GROUP_SEARCH_BASEDN": "ou=groups,dc=example,dc=com", "AUTH_LDAP_GROUP_SEARCH_CLASS": "groupOfNames",
		"AUTH_LDAP_REQUIRE_GROUP_DN": "cn=netbox,ou=groups,dc=example,dc=com", "AUTH_LDAP_IS_SUPERUSER_DN": "cn=netbox-admins,ou=groups,dc=example,dc=com",
		"AUTH_LDAP_MIRROR_GROUPS": "true",
	})
	spec.Files = []engine.File{{Path: "/run/secrets/auth_ldap_bind_password", Mode: 0o400, UID: 1000, GID: 1000, Content: []byte("change-this-password\n")}}
	c := w.start(spec)
	w.up(c, "/login/")
	at := "http://" + host + ":8000"
	w.browse(at, nil).mustLogIn("alice", "wonderland")
	w.browse(at, nil).mustLogIn("bob", "builder")
	w.browse(at, nil).mustLogIn("admin", password)
	if b := w.browse(at, nil); b.logIn("mallory", "malice").status != http.StatusOK || b.who() != "" {
		t.Errorf("mallory is in no group that may log in, and is %q", b.who())
	}
	const sql = `select string_agg(u.username || ' ' || is_superuser || ' ' || email || ' ' ||
		(select string_agg(g.name, ',' order by g.name) from users_group g join users_user_groups m on m.group_id = g.id where m.user_id = u.id), E'\n' order by u.username)
		from users_user u where username <> 'admin'`
	if got, want := w.query(postgres, sql), "alice true alice@example.com netbox,netbox-admins\nbob false bob@example.com netbox"; got != want {
		t.Errorf("the accounts are\n%s\nwant\n%s", got, want)
	}
	if log := said(c); strings.Contains(log, "is not read") || strings.Contains(log, "Traceback") {
		t.Error("the log names a variable that nobody reads, or has a traceback")
	}
	w.stop(c)
}
