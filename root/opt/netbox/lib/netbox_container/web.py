"""The web server: nginx towards the clients, gunicorn around NetBox's WSGI application behind it.

nginx serves the static files and takes in every request whole before it hands
it on, so that slow clients cost no thread. Header names with an underscore end
there: to WSGI, Remote_User and Remote-User are the same.
"""

import os
import resource
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from wsgiref.util import setup_testing_defaults

from netbox_container import health

PORT = 8000
DRAIN = 7  # seconds requests get to end after SIGTERM
HEADER = 32 << 10  # the longest request line or header, in bytes
CONNECTIONS = 4096  # of clients, at once, for each process of nginx
FOLDER = Path('/run/netbox')
PEER = 'Container-Peer'  # the header in which nginx tells who asks; one of that name from outside is replaced
LOGGING = {
    'version': 1,
    'disable_existing_loggers': False,
    'formatters': {'plain': {'format': '[netbox] web: %(message)s'}},
    'handlers': {'console': {'class': 'logging.StreamHandler', 'formatter': 'plain'}},
    'loggers': {'gunicorn.error': {'handlers': ['console'], 'level': 'WARNING', 'propagate': False}},
}


def warm(application, question: health.Question) -> None:
    """Asks for the log-in page once, so that every fork finds its templates compiled."""
    environ = {
        'REQUEST_METHOD': 'GET',
        'PATH_INFO': question.path,
        'HTTP_HOST': question.host,
        'HTTP_X_FORWARDED_PROTO': 'https',
        'REMOTE_ADDR': '127.0.0.1',
    }
    setup_testing_defaults(environ)
    statuses = []
    response = application(environ, lambda status, headers, exc_info=None: statuses.append(status))
    for _ in response:
        pass
    response.close()
    if not statuses[0].startswith(('2', '3')):
        print(f'[netbox] the log-in page answers {statuses[0]}', file=sys.stderr, flush=True)


def listen(folder: Path = FOLDER) -> socket.socket:
    """The socket between the two, held by the process that starts them: while
    one of them is being started again, requests wait in it.
    """
    path = folder / 'web.sock'
    path.unlink(missing_ok=True)
    between = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old = os.umask(0o077)
    between.bind(str(path))
    os.umask(old)
    between.listen(1024)
    return between


def serve(application, values: SimpleNamespace, between: socket.socket) -> None:
    """Answers what nginx hands on, until SIGTERM."""
    from gunicorn.app.base import BaseApplication

    class Server(BaseApplication):
        def load_config(self) -> None:
            for name, value in settings(values, between.fileno()).items():
                self.cfg.set(name, value)

        def load(self):
            return told(application)

    Server().run()


def settings(values: SimpleNamespace, between: int) -> dict:
    """Of gunicorn. Nothing is limited here that nginx limits already."""
    return {
        'bind': f'fd://{between}',
        # The socket belongs to the process above, which may start gunicorn again: it must not be removed.
        'on_starting': lambda arbiter: setattr(arbiter, 'systemd', True),
        'workers': values.WEB_WORKERS or min(4, max(2, len(os.sched_getaffinity(0)))),
        'worker_class': 'gthread',
        'threads': values.WEB_THREADS,
        # No process takes more than its threads can work on: the others may be idle.
        'worker_connections': values.WEB_THREADS,
        'keepalive': 0,
        'timeout': 120,
        'graceful_timeout': DRAIN,
        'max_requests': 5000,
        'max_requests_jitter': 500,
        'limit_request_line': 0,
        'limit_request_fields': 1000,
        'limit_request_field_size': HEADER,
        # NetBox itself looks at X-Forwarded-Proto.
        'secure_scheme_headers': {},
        'forwarder_headers': '',
        'worker_tmp_dir': str(FOLDER),
        'control_socket_disable': True,
        'logconfig_dict': LOGGING,
    }


def told(application):
    """The application, told by nginx from where a request comes."""
    name = 'HTTP_' + PEER.upper().replace('-', '_')

    def call(environ, start_response):
        environ['REMOTE_ADDR'] = environ.pop(name, '')
        return application(environ, start_response)

    return call


def front(routes: Mapping[str, Path], folder: Path = FOLDER) -> None:
    """Becomes nginx."""
    file = folder / 'nginx.conf'
    file.write_text(configuration(routes, folder))
    # Nothing of the environment, secrets above all, is nginx's concern.
    os.execve('/usr/sbin/nginx', ['nginx', '-e', 'stderr', '-c', str(file)], {})


def configuration(routes: Mapping[str, Path], folder: Path) -> str:
    """Of nginx."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = 2 * CONNECTIONS if most == resource.RLIM_INFINITY else min(2 * CONNECTIONS, most)
    listens = ''.join(f'listen {address};\n' for address in addresses())
    temporary = ''.join(
        f'{kind}_temp_path {folder}/nginx-{kind};\n' for kind in ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi')
    )
    # Left to itself, an nginx of root has its workers be somebody whom the web server's socket is closed to.
    user = '' if os.geteuid() else 'user root root;'
    static = ''.join(f'location {quoted(url)} {{ alias {quoted(f"{path}/")}; }}\n' for url, path in routes.items())
    return f"""
daemon off;
{user}
error_log stderr error;
pid {folder}/nginx.pid;
worker_processes {min(4, len(os.sched_getaffinity(0)))};
worker_rlimit_nofile {files};
worker_shutdown_timeout {DRAIN}s;
events {{ worker_connections {files // 2}; }}
http {{
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log off;
    server_tokens off;
    absolute_redirect off;
    sendfile on;
    tcp_nopush on;
    open_file_cache max=2000 inactive=1h;
    open_file_cache_valid 1h;
    gzip_types text/css text/javascript application/javascript application/json image/svg+xml;
    gzip_proxied any;
    gzip_vary on;
    gzip_comp_level 4;
    underscores_in_headers off;
    large_client_header_buffers 8 {HEADER};
    client_header_timeout 30s;
    client_body_timeout 60s;
    client_body_buffer_size 128k;
    client_max_body_size 100m;
    {temporary}
    server {{
        {listens}
        expires 1d;
        gzip on;
        {static}
        location / {{
            expires off;
            gzip off;
            proxy_pass http://unix:{folder}/web.sock:;
            proxy_set_header Host $http_host;
            proxy_set_header {PEER} $remote_addr;
            proxy_read_timeout 300s;
            proxy_buffer_size {HEADER};
            proxy_buffers 64 64k;
            proxy_busy_buffers_size 128k;
            proxy_next_upstream off;
        }}
    }}
}}
"""


def quoted(text: str) -> str:
    """A word of nginx's configuration."""
    return '"' + text.replace('\\', '\\\\').replace('"', '\\"') + '"'


def static() -> dict[str, Path]:
    """Where static files are served, and from which folders.

    Those of plugins come from the plugins themselves: what the image collected
    is not NetBox's to write.
    """
    from django.apps import apps
    from django.conf import settings

    collected = Path(settings.STATIC_ROOT)
    routes = {settings.STATIC_URL: collected}
    for app in apps.get_app_configs():
        for folder in sorted(Path(app.path, 'static').glob('*/')):
            if not (collected / folder.name).exists():
                routes.setdefault(f'{settings.STATIC_URL}{folder.name}/', folder)
    return routes


def addresses() -> list[str]:
    """All addresses, of both families when the kernel has both. Apart, so that
    clients of IPv4 are known by an address of IPv4.
    """
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(('::', 0))
        return [str(PORT), f'[::]:{PORT}']
    except OSError:
        return [str(PORT)]
