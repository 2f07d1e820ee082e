package bench

import "fmt"

// server describes a way to serve NetBox. Each server runs in its own container.
type server struct {
	name  string
	port  int
	says  string // processes and threads
	shell string // empty for the unchanged image
}

// servers lists the image first, then the servers that it is compared with. The
// settings are those under contrib/ of NetBox 4.7.3, but without TLS everywhere.
var servers = []server{
	{name: "image", port: 8000, says: "as by default"},
	{name: "gunicorn", port: 8101, says: "5 processes of 3 threads, behind nginx",
		shell: nginx(8101, "proxy_pass http://127.0.0.1:8001") + gunicorn(8001)},
	{name: "uWSGI", port: 8102, says: "1 process, behind nginx",
		shell: nginx(8102, "include uwsgi_params; uwsgi_pass 127.0.0.1:8002") + uwsgi(8002)},
	{name: "uWSGI wide", port: 8103, says: "5 processes of 3 threads, which the guide has not, behind nginx",
		shell: nginx(8103, "include uwsgi_params; uwsgi_pass 127.0.0.1:8003") + uwsgi(8003) + " --processes 5 --threads 3"},
}

// gunicorn returns a command with the settings of contrib/gunicorn.py and the user
// of contrib/netbox.service.
func gunicorn(port int) string {
	return fmt.Sprintf("exec /lsiopy/bin/python3 -P -m gunicorn --bind 127.0.0.1:%d --workers 5 --threads 3 --timeout 120 "+
		"--max-requests 5000 --max-requests-jitter 500 --user 1000 --group 1000 netbox.wsgi", port)
}

// uwsgi returns a command with the settings of contrib/uwsgi.ini.
func uwsgi(port int) string {
	return fmt.Sprintf("exec /lsiopy/bin/uwsgi --strict --socket 127.0.0.1:%d --master --vacuum --die-on-term --need-app --single-interpreter "+
		"--module netbox.wsgi --virtualenv /lsiopy --disable-logging --log-5xx --uid 1000 --gid 1000", port)
}

// nginx returns a script that starts Debian's nginx with contrib/nginx.conf as its
// site, on a port and with the directive that passes requests on.
func nginx(port int, pass string) string {
	return fmt.Sprintf(`cat >/etc/nginx/sites-enabled/default <<'EOF'
server {
    listen %d;
    client_max_body_size 25m;
    location /static/ { alias /opt/netbox/static/; }
    location / {
        %s;
        proxy_set_header X-Forwarded-Host $http_host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
    }
}
EOF
nginx
`, port, pass)
}
