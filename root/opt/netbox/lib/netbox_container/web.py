"""The web server: granian around NetBox's WSGI application, static files included."""

import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from wsgiref.util import setup_testing_defaults

from netbox_container import environment, health

PORT = 8000
DRAIN = 6  # seconds requests get to end after SIGTERM
LOGGING = {
    'version': 1,
    'disable_existing_loggers': False,
    'formatters': {'plain': {'format': '[netbox] web: %(message)s'}},
    'handlers': {'console': {'class': 'logging.StreamHandler', 'formatter': 'plain'}},
    'loggers': {'_granian': {'handlers': ['console'], 'level': 'INFO', 'propagate': False}},
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


def serve(application, values: SimpleNamespace) -> None:
    """Serves until SIGTERM."""
    from granian import Granian
    from granian.constants import Interfaces

    routes, folders = static()
    for variable in environment.VARIABLES:
        if variable.secret:
            # Granian shows every request the whole environment.
            os.environ.pop(variable.name, None)
    Granian(
        'netbox.wsgi:application',
        address=address(),
        port=PORT,
        interface=Interfaces.WSGI,
        workers=values.WEB_WORKERS or min(4, max(2, len(os.sched_getaffinity(0)))),
        blocking_threads=values.WEB_THREADS,
        websockets=False,
        log_dictconfig=LOGGING,
        respawn_failed_workers=True,
        workers_kill_timeout=DRAIN,
        static_path_route=routes,
        static_path_mount=folders,
        static_path_dir_to_file='index.html',
    ).serve(target_loader=lambda _: unmapped(application))


def unmapped(application):
    """The application, told the IPv4 address of a client that came to the socket of both families."""

    def call(environ, start_response):
        environ['REMOTE_ADDR'] = environ['REMOTE_ADDR'].removeprefix('::ffff:')
        return application(environ, start_response)

    return call


def static() -> tuple[list[str], list[Path]]:
    """Where static files are served, and from which folders.

    Those of plugins come from the plugins themselves: what the image collected
    is not NetBox's to write.
    """
    from django.apps import apps
    from django.conf import settings

    url, collected = settings.STATIC_URL.rstrip('/'), Path(settings.STATIC_ROOT)
    folders = {}
    for app in apps.get_app_configs():
        for folder in sorted(Path(app.path, 'static').glob('*/')):
            if not (collected / folder.name).exists():
                folders[f'{url}/{folder.name}'] = folder
    folders[url] = collected  # the first that fits serves
    return list(folders), list(folders.values())


def address() -> str:
    """All addresses, of both families when the kernel has both."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(('::', 0))
        return '::'
    except OSError:
        return '0.0.0.0'
