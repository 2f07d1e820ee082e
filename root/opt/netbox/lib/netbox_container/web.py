"""The web server: nginx towards the clients, gunicorn around NetBox's WSGI application behind it.

nginx serves the static files and takes in every request whole before it hands
it on, so that slow clients cost no thread. Header names with an underscore end
there: to WSGI, Remote_User and Remote-User are the same.
"""

import contextlib
import ctypes
import errno
import os
import resource
import socket
import struct
import sys
import time
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
PEER = 'Container-Peer'  # the header in which nginx passes the client's address; one of that name from outside is replaced
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
            return with_client(application)

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


def with_client(application):
    """The application with the client's address, which nginx passes in a header."""
    name = 'HTTP_' + PEER.upper().replace('-', '_')

    def call(environ, start_response):
        environ['REMOTE_ADDR'] = environ.pop(name, '')
        return application(environ, start_response)

    return call


def front(routes: Mapping[str, Path], doors: list[socket.socket], question: health.Question, folder: Path = FOLDER) -> None:
    """Becomes nginx, which finds the doors open."""
    file = folder / 'nginx.conf'
    file.write_text(configuration(routes, doors, question, folder))
    for door in doors:
        door.set_inheritable(True)
    # Nothing else of the environment, secrets above all, is nginx's concern.
    inherited = {'NGINX': ''.join(f'{door.fileno()};' for door in doors)}
    # Until nginx has read where to log, its notices go nowhere and what is worse to standard error.
    os.execve('/usr/sbin/nginx', ['nginx', '-e', '/dev/null', '-c', str(file)], inherited)


def configuration(routes: Mapping[str, Path], doors: list[socket.socket], question: health.Question, folder: Path) -> str:
    """Of nginx."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = 2 * CONNECTIONS if most == resource.RLIM_INFINITY else min(2 * CONNECTIONS, most)
    listens = ''.join(f'listen {_place(door)};\n' for door in doors)
    temporary = ''.join(
        f'{kind}_temp_path {folder}/nginx-{kind};\n' for kind in ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi')
    )
    # Left to itself, an nginx of root has its workers be somebody whom the web server's socket is closed to.
    user = '' if os.geteuid() else 'user root root;'
    static = ''.join(f'location {quoted(url)} {{ alias {quoted(f"{path}/")}; }}\n' for url, path in routes.items())
    asked = '\n'.join(f'proxy_set_header {name} {quoted(value)};' for name, value in question.headers().items())
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
        # For orchestrators, whatever name they ask by. A database that is away is no reason to be killed for.
        location = /live {{ expires off; default_type text/plain; return 200 "live\n"; }}
        location = /ready {{
            expires off;
            gzip off;
            proxy_pass http://unix:{folder}/web.sock:{question.path};
            proxy_pass_request_headers off;
            proxy_pass_request_body off;
            proxy_method GET;
            {asked}
            proxy_set_header {PEER} $remote_addr;
            proxy_set_header Content-Length "";
            proxy_hide_header Set-Cookie;
            proxy_read_timeout 20s;
        }}
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


class PortTaken(Exception):
    """A port that another program listens on. One line."""


def doors(port: int = PORT, patience: float = 5) -> list[socket.socket]:
    """The sockets that clients come to: one for each family that the kernel has,
    so that clients of IPv4 are known by an address of IPv4.

    Like the socket between, they are held by the process that starts the
    others: while nginx is being started again, clients wait and are not refused.
    An nginx that went before may take patience seconds to let go of them.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            return _doors(port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            if time.monotonic() > deadline:
                raise PortTaken(
                    f'port {port} is taken by another program in the same network: stop that one, or give this container a network of its own'
                ) from None
            time.sleep(0.1)


def _doors(port: int) -> list[socket.socket]:
    first = _door(socket.AF_INET, '0.0.0.0', port)
    try:
        return [first, _door(socket.AF_INET6, '::', first.getsockname()[1])]
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            first.close()
            raise
        return [first]  # a kernel without IPv6


def _door(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    door = socket.socket(family, socket.SOCK_STREAM)
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        door.bind((address, port))
        door.listen(511)
        door.setblocking(False)  # nginx takes for granted that it is
    except OSError:
        door.close()
        raise
    return door


def _place(door: socket.socket) -> str:
    """Where a door is, as nginx says it; so it knows which of its own it is."""
    address, port = door.getsockname()[:2]
    return f'[{address}]:{port}' if ':' in address else f'{address}:{port}'


_SO_BINDTOIFINDEX, _SO_ATTACH_FILTER = 62, 26
_NOWHERE = 0x7FFFFFFF  # no network interface has this number
# A socket filter, as <linux/filter.h> has it: no packet that asks for a new connection passes.
_NOBODY_NEW = b''.join(
    struct.pack('HBBI', *instruction)
    for instruction in (
        (0x30, 0, 0, 13),  # the flags in the TCP header
        (0x54, 0, 0, 0x12),  # SYN and ACK of them
        (0x15, 0, 1, 0x02),  # SYN alone
        (0x06, 0, 0, 0),  # is dropped,
        (0x06, 0, 0, 0xFFFFFFFF),  # all else is taken whole
    )
)
_WAITING = 24  # offset of tcpi_unacked in struct tcp_info: of a socket that listens, those who wait to be let in


def shut(doors: list[socket.socket], settle: float = 0.2, limit: float = 1) -> None:
    """Lets nobody else in, and waits until those who stood at a door are inside.

    Closing alone would throw out clients whose connection is made, or, for as
    long as settle, being made, and whom nginx has not taken in yet. Who comes now
    is refused: a proxy may send a request again that was refused, but not one whose
    connection broke. A door that leads to no interface does that. A kernel before
    5.7 lets root alone move a door, but anyone filter what comes to it: then there
    is no answer until the doors are closed. The newest let root alone filter TCP.

    Nothing less does. A server that received QUIT accepts no connection any more,
    and how sockets are handed over changes nothing about who waits in them: with
    40 clients at once, closing them broke 784 connections in 20 stops; this, none.
    test_serve.py and TestAStopLetsRequestsInFlightEnd of tests/life hold it to that.
    """
    start = time.monotonic()
    with contextlib.suppress(OSError, struct.error):  # a kernel, or an emulator of one, that does not know of this
        for door in doors:
            _turn_away(door)
        while (since := time.monotonic() - start) < limit and (since < settle or any(map(_waiting, doors))):
            time.sleep(0.01)
    for door in doors:
        door.close()


def _turn_away(door: socket.socket) -> None:
    try:
        door.setsockopt(socket.SOL_SOCKET, _SO_BINDTOIFINDEX, _NOWHERE)
    except OSError:
        program = ctypes.create_string_buffer(_NOBODY_NEW)
        size = len(_NOBODY_NEW) // struct.calcsize('HBBI')
        door.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack('HP', size, ctypes.addressof(program)))


def _waiting(door: socket.socket) -> int:
    return struct.unpack_from('I', door.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), _WAITING)[0]
