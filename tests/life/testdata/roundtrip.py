"""Prints, inside the real image, what NetBox makes of an environment.

    roundtrip.py serve PORT     answers one JSON object a line on a connection to 127.0.0.1:PORT
    roundtrip.py once FILE      writes the answer for the environment of this very process

A line asks for variables and for files that FILE__ variables name. It goes the
way of a container's environment: into the folder where /init keeps it, through
the image's own init-envfile, and out again by with-contenv, into a process of
user abc. That process is a fork of one with NetBox's libraries loaded, so that
a round takes a twentieth of a second; "once" has no such head start.
"""

import base64
import io
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import traceback
from contextlib import redirect_stderr
from pathlib import Path

CONTENV = Path('/run/s6/container_environment')
FILES = Path('/run/roundtrip')
# What reads a variable is loaded again in each fork, all else is there already.
ASKED = {}  # every setting that NetBox asks its configuration for, with its value here
AGAIN = ('netbox.settings', 'netbox_local_configuration')


# What NetBox itself keeps by another name.
SAME = {'DATABASE': 'DATABASES', 'DEFAULT_LANGUAGE': 'LANGUAGE_CODE', 'JINJA2_FILTERS': 'JINJA_FILTERS'}


def given_by_name() -> list[str]:
    """The settings that variables of their own names set."""
    return [name.split('__')[1] for name in os.environ if name.startswith('NETBOX__')]


def answer() -> dict:
    """What check, the first service, and then NetBox say to the environment of this process."""
    from netbox_container import check, configuration

    said = io.StringIO()
    try:
        with redirect_stderr(said):
            check.main()
            result = {'code': 0, **settings(configuration.environ_values())}
    except SystemExit as end:
        result = {'code': end.code}
    except BaseException:
        result = {'code': -1}
        said.write(traceback.format_exc())
    return {**result, 'said': said.getvalue()}


def settings(values) -> dict:
    from django.conf import settings as netbox
    from django.core.cache import caches

    database, tasks = netbox.DATABASES['default'], netbox.RQ_QUEUES['default']
    pool = caches['default'].client.get_client().connection_pool
    cache = pool.connection_kwargs
    texts = {
        'SUPERUSER_EMAIL': values.SUPERUSER_EMAIL,
        'SUPERUSER_PASSWORD': values.SUPERUSER_PASSWORD,
        'DB_NAME': database['NAME'],
        'DB_USER': database['USER'],
        'DB_PASSWORD': database['PASSWORD'],
        'REDIS_USERNAME': tasks['USERNAME'],
        'REDIS_PASSWORD': tasks['PASSWORD'],
        'REDIS_SSL_CA': tasks.get('REDIS_CLIENT_KWARGS', {}).get('ssl_ca_certs', ''),
        'REDIS_CACHE_USERNAME': cache.get('username') or '',
        'REDIS_CACHE_PASSWORD': cache.get('password') or '',
        'REMOTE_AUTH_BACKEND': netbox.AUTHENTICATION_BACKENDS[0],
        'REMOTE_AUTH_HEADER': netbox.REMOTE_AUTH_HEADER,
        'SECRET_KEY': netbox.SECRET_KEY,
        'API_TOKEN_PEPPER': netbox.API_TOKEN_PEPPERS[1],
    }
    typed = {
        'TZ': netbox.TIME_ZONE,
        'ALLOWED_HOST': netbox.ALLOWED_HOSTS,
        'DB_HOST': database['HOST'],
        'DB_PORT': database['PORT'],
        'DB_SSLMODE': database['OPTIONS']['sslmode'],
        'REDIS_HOST': tasks.get('HOST'),
        'REDIS_PORT': tasks.get('PORT'),
        'REDIS_DB_TASK': tasks['DB'],
        'REDIS_DB_CACHE': cache.get('db'),
        'REDIS_SSL': tasks.get('SSL'),
        'REDIS_SSL_VERIFY': tasks.get('SSL_CERT_REQS') == 'required',
        'REDIS_SENTINELS': tasks.get('SENTINELS', []),
        'REDIS_SENTINEL_SERVICE': [tasks.get('MASTER_NAME'), getattr(pool, 'service_name', None)],
        'REDIS_CACHE_HOST': cache.get('host'),
        'REDIS_CACHE_PORT': cache.get('port'),
        'BASE_PATH': netbox.BASE_PATH,
        'REMOTE_AUTH_ENABLED': netbox.REMOTE_AUTH_ENABLED,
        'REMOTE_AUTH_AUTO_CREATE_USER': netbox.REMOTE_AUTH_AUTO_CREATE_USER,
        'REMOTE_AUTH_DEFAULT_GROUPS': netbox.REMOTE_AUTH_DEFAULT_GROUPS,
        'REMOTE_AUTH_DEFAULT_PERMISSIONS': netbox.REMOTE_AUTH_DEFAULT_PERMISSIONS,
        'CSRF_TRUSTED_ORIGINS': netbox.CSRF_TRUSTED_ORIGINS,
        'METRICS_ENABLED': netbox.METRICS_ENABLED,
        'SUPERUSER_NAME': values.SUPERUSER_NAME,
        'SUPERUSER_API_TOKEN': values.SUPERUSER_API_TOKEN,
        'SKIP_SUPERUSER': values.SKIP_SUPERUSER,
        'NETBOX_ROLE': values.NETBOX_ROLE,
        'WEB_WORKERS': values.WEB_WORKERS,
        'WEB_THREADS': values.WEB_THREADS,
        'RQ_WORKERS': values.RQ_WORKERS,
        'STARTUP_TIMEOUT': values.STARTUP_TIMEOUT,
    }
    named = {name: getattr(netbox, SAME.get(name, name), None) for name in given_by_name()}
    return {'named': named, 'texts': {name: base64.b64encode(text.encode()).decode() for name, text in texts.items()}, 'typed': typed}


def serve(port: int) -> None:
    given = {file.name: file.read_bytes() for file in CONTENV.iterdir()}
    preload()
    server = socket.create_server(('127.0.0.1', port))
    while True:
        connection, _ = server.accept()
        with connection, connection.makefile('rwb') as lines:
            for line in lines:
                lines.write(json.dumps(ask(json.loads(line), given), default=repr).encode() + b'\n')
                lines.flush()


def preload() -> None:
    """Loads all that NetBox's settings load, and forgets what came of the environment."""
    import django_redis.cache  # noqa: F401
    import django_redis.client  # noqa: F401
    from django.conf import empty, settings as netbox
    from netbox import settings_utils
    from netbox.config import PARAMS
    from netbox_container import check  # noqa: F401

    load, asked = settings_utils.load_configuration, set()

    class Recorder:
        """NetBox's configuration, which writes down what NetBox asks it for."""

        def __init__(self, configuration):
            self.configuration = configuration

        def __getattr__(self, name):
            asked.add(name)
            return getattr(self.configuration, name)

    settings_utils.load_configuration = lambda **where: Recorder(load(**where))
    assert netbox.ALLOWED_HOSTS
    settings_utils.load_configuration = load
    names = sorted(name for name in asked if name.isupper())
    ASKED.update({parameter.name: parameter.default for parameter in PARAMS})  # NetBox keeps those in its database
    ASKED.update({name: getattr(netbox, SAME.get(name, name)) for name in names if hasattr(netbox, SAME.get(name, name))})
    assert names == sorted(ASKED), set(names) ^ set(ASKED)
    for name in AGAIN:
        del sys.modules[name]
    netbox._wrapped = empty


def ask(question: dict, given: dict[str, bytes]) -> dict:
    """The answer to one line: "set" and "files" hold values by variable, in base64."""
    if question.get('settings'):
        return {'code': 0, 'named': ASKED}
    for file in CONTENV.iterdir():
        if file.name not in given:
            file.unlink()
    shutil.rmtree(FILES, ignore_errors=True)
    FILES.mkdir(mode=0o700)
    environment = dict(given)
    for name, value in question.get('set', {}).items():
        environment[name] = base64.b64decode(value)
    for name, value in question.get('files', {}).items():
        (FILES / name).write_bytes(base64.b64decode(value))
        environment[f'FILE__{name}'] = str(FILES / name).encode()
    for name, value in environment.items():
        (CONTENV / name).write_bytes(value)  # as /init stores what it was given
    log = ''
    if any(name.startswith('FILE__') for name in environment):
        log = subprocess.run(['/etc/s6-overlay/s6-rc.d/init-envfile/run'], stdout=subprocess.PIPE, check=True).stdout.decode(
            errors='replace'
        )
    seen = subprocess.run(['/command/with-contenv', 's6-setuidgid', 'abc', 'env', '-0'], capture_output=True)
    if seen.returncode:
        return {'code': seen.returncode, 'said': seen.stderr.decode(errors='replace'), 'log': log}
    return {**fork(dict(entry.split(b'=', 1) for entry in seen.stdout.split(b'\0') if entry)), 'log': log}


def fork(environment: dict[bytes, bytes]) -> dict:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        try:
            abc = pwd.getpwnam('abc')
            os.initgroups('abc', abc.pw_gid)
            os.setgid(abc.pw_gid)
            os.setuid(abc.pw_uid)
            os.environb.clear()
            os.environb.update(environment)
            with open(write, 'w') as out:
                json.dump(answer(), out, default=repr)
        finally:
            os._exit(0)
    os.close(write)
    with open(read) as result:
        text = result.read()
    _, status = os.waitpid(pid, 0)
    return json.loads(text) if text else {'code': -1, 'said': f'the process ended with status {status}'}


if __name__ == '__main__':
    match sys.argv[1:]:
        case ['serve', port]:
            serve(int(port))
        case ['once', file]:
            result = json.dumps(answer(), default=repr)
            Path(file + '.new').write_text(result)
            Path(file + '.new').rename(file)
        case _:
            sys.exit(__doc__)
