"""NetBox's settings: from the environment, then from the user's own files."""

import ast
import contextlib
import hashlib
import logging
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from netbox_container import environment, keys, named

HOME = Path('/config')
MODS = Path('/opt/netbox/conf/configuration.d')  # where a mod puts its settings, to come and go with it
LAST = Path('/run/netbox/last')  # what /etc/cont-finish.d says once more when the container has ended


class Brief(logging.Filter):
    """Leaves the traceback out: anybody who asks by a wrong host name could fill the log with it."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = None
        record.msg = record.getMessage().replace('ALLOWED_HOSTS', 'ALLOWED_HOST')
        record.args = ()
        return True


class ConfigurationError(Exception):
    """What is wrong with the configuration, one line a mistake."""

    def __init__(self, *mistakes: str):
        super().__init__('\n'.join(mistakes))
        self.mistakes = mistakes


def values(environ: Mapping[str, str], home: Path = HOME) -> SimpleNamespace:
    """The values of the environment variables. ConfigurationError lists all mistakes."""
    result, mistakes = environment.read(environ, lenient=(home / 'configuration.py').is_file())
    if result.REDIS_SENTINELS and result.REDIS_SSL:
        mistakes.append('REDIS_SSL must be false with REDIS_SENTINELS: NetBox cannot speak TLS to what Sentinels name')
    if mistakes:
        raise ConfigurationError(*mistakes)
    return result


def load(environ: Mapping[str, str], home: Path = HOME) -> dict[str, Any]:
    """All of NetBox's settings by name."""
    settings, mistakes = named.apply(environ, from_values(values(environ, home), home))
    if mistakes:
        raise ConfigurationError(*mistakes)
    one_database(settings)
    for file in own_files(home):
        apply(file, settings)
    if not settings['ALLOWED_HOSTS']:
        # Every request would be refused, that of the readiness check too.
        raise ConfigurationError(f'ALLOWED_HOST is required, or ALLOWED_HOSTS in {home / "configuration.py"}')
    return settings


def own_files(home: Path) -> list[Path]:
    """The files in the order they apply: those of mods, the user's drop-ins, then the user's last word."""
    files = [*sorted(MODS.glob('*.py')), *sorted((home / 'configuration.d').glob('*.py'))]
    last = home / 'configuration.py'
    return [*files, last] if last.is_file() else files


def apply(file: Path, settings: dict[str, Any]) -> None:
    """Runs one of the user's files over the settings it may read, change and add to."""
    scope = dict(settings, __file__=str(file), __name__='configuration')
    sys.path.insert(0, str(file.parent))
    try:
        source = file.read_bytes()
        exec(compile(source, str(file), 'exec'), scope)
        check_kinds(source, file, settings, scope)
    except ConfigurationError:
        raise
    except Exception as error:
        line = getattr(error, 'lineno', None) or next(
            (f.lineno for f in reversed(traceback.extract_tb(error.__traceback__)) if f.filename == str(file)), 0
        )
        raise ConfigurationError(f'{file}, line {line}: {type(error).__name__}: {error}') from error
    finally:
        sys.path.remove(str(file.parent))
    settings.update((name, value) for name, value in scope.items() if not name.startswith('__'))
    one_database(settings)


def one_database(settings: dict[str, Any]) -> None:
    """Takes the older way to name the database, since NetBox refuses to see both."""
    if 'DATABASE' in settings:
        settings['DATABASES'] = {'default': settings.pop('DATABASE')}


def check_kinds(source: bytes, file: Path, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Compares what a file sets with the kind of value it is to replace: NetBox would fail much later, and obscurely."""
    for name, old in before.items():
        kinds = next((kinds for kinds in ((dict,), (list, tuple), (str,)) if isinstance(old, kinds)), ())
        if name == 'REMOTE_AUTH_BACKEND':
            kinds = (str, list, tuple)
        new = after.get(name)
        if kinds and not isinstance(new, kinds):
            names = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name) and node.id == name]
            line = max((node.lineno for node in names), default=0)
            raise ConfigurationError(f'{file}, line {line}: {name} must be a {kinds[0].__name__}, not a {type(new).__name__}')


def check_ldap(settings: Mapping[str, Any], home: Path = HOME) -> None:
    """Finds what is wrong with log-ins by LDAP, where they are asked for: NetBox would find out at the first of them."""
    backend, file = 'netbox.authentication.LDAPBackend', home / 'ldap_config.py'
    if backend not in settings['REMOTE_AUTH_BACKEND']:
        return
    if not file.is_file():
        raise ConfigurationError(f'{file} is required with REMOTE_AUTH_BACKEND={backend}')
    own: dict[str, Any] = {}
    apply(file, own)
    if 'AUTH_LDAP_SERVER_URI' not in own:
        raise ConfigurationError(f'{file} must set AUTH_LDAP_SERVER_URI')


def from_values(v: SimpleNamespace, home: Path) -> dict[str, Any]:
    """The settings that follow from the environment alone."""
    return {
        'ALLOWED_HOSTS': v.ALLOWED_HOST,
        'API_TOKEN_PEPPERS': {1: v.API_TOKEN_PEPPER or keys.keep(home / 'keys' / 'token_pepper')},
        'BASE_PATH': v.BASE_PATH,
        'CSRF_TRUSTED_ORIGINS': v.CSRF_TRUSTED_ORIGINS,
        'DATABASES': {
            'default': {
                'NAME': v.DB_NAME,
                'USER': v.DB_USER,
                'PASSWORD': v.DB_PASSWORD,
                'HOST': v.DB_HOST,
                'PORT': str(v.DB_PORT),
                'CONN_MAX_AGE': 300,
                'CONN_HEALTH_CHECKS': True,  # a database that came back is used again at once
                'OPTIONS': {'sslmode': v.DB_SSLMODE},
            }
        },
        'REDIS': {'tasks': _tasks(v), 'caching': _cache(v)},
        # NetBox by itself would mail errors to nobody.
        'LOGGING': {
            'version': 1,
            'disable_existing_loggers': False,
            'formatters': {'plain': {'format': '[netbox] %(levelname)s %(name)s: %(message)s'}},
            'filters': {'brief': {'()': Brief}},
            'handlers': {
                'console': {'class': 'logging.StreamHandler', 'formatter': 'plain'},
                'brief': {'class': 'logging.StreamHandler', 'formatter': 'plain', 'filters': ['brief']},
            },
            'loggers': {
                'django.request': {'level': 'ERROR'},  # a page not found is nobody's concern
                'django.security.DisallowedHost': {'handlers': ['brief'], 'propagate': False},
            },
            'root': {'handlers': ['console'], 'level': 'WARNING'},
        },
        'MEDIA_ROOT': str(home / 'media'),
        'METRICS_ENABLED': v.METRICS_ENABLED,
        'PLUGINS': [],  # so that every file may add its own
        'PLUGINS_CONFIG': {},
        'REMOTE_AUTH_AUTO_CREATE_USER': v.REMOTE_AUTH_AUTO_CREATE_USER,
        'REMOTE_AUTH_BACKEND': v.REMOTE_AUTH_BACKEND,
        'REMOTE_AUTH_DEFAULT_GROUPS': v.REMOTE_AUTH_DEFAULT_GROUPS,
        'REMOTE_AUTH_DEFAULT_PERMISSIONS': v.REMOTE_AUTH_DEFAULT_PERMISSIONS,
        'REMOTE_AUTH_ENABLED': v.REMOTE_AUTH_ENABLED,
        'REMOTE_AUTH_HEADER': v.REMOTE_AUTH_HEADER,
        'REPORTS_ROOT': str(home / 'reports'),
        'SCRIPTS_ROOT': str(home / 'scripts'),
        'SECRET_KEY': v.SECRET_KEY or keys.keep(home / 'keys' / 'secret_key'),
        'STORAGES': {} if v.UMASK is None else _storages(0o666 & ~v.UMASK),
        'TIME_ZONE': v.TZ,
    }


def _storages(mode: int) -> dict[str, Any]:
    # As NetBox sets them up; Django by itself would store every upload with mode 0644.
    return {
        'default': {
            'BACKEND': 'django.core.files.storage.FileSystemStorage',
            'OPTIONS': {'file_permissions_mode': mode},
        },
        'scripts': {
            'BACKEND': 'extras.storage.ScriptFileSystemStorage',
            'OPTIONS': {'allow_overwrite': True, 'file_permissions_mode': mode},
        },
    }


def _tasks(v: SimpleNamespace) -> dict[str, Any]:
    section = {
        'HOST': v.REDIS_HOST,
        'PORT': v.REDIS_PORT,
        'USERNAME': v.REDIS_USERNAME,
        'PASSWORD': v.REDIS_PASSWORD,
        'DATABASE': v.REDIS_DB_TASK,
        'SSL': v.REDIS_SSL,
        # Without TLS the cache's client refuses whatever speaks of certificates.
        'INSECURE_SKIP_TLS_VERIFY': v.REDIS_SSL and not v.REDIS_SSL_VERIFY,
    }
    if v.REDIS_SSL and v.REDIS_SSL_CA:
        section['CA_CERT_PATH'] = v.REDIS_SSL_CA
    if v.REDIS_SENTINELS:
        section['SENTINELS'] = v.REDIS_SENTINELS
        section['SENTINEL_SERVICE'] = v.REDIS_SENTINEL_SERVICE
    return section


def _cache(v: SimpleNamespace) -> dict[str, Any]:
    section = _tasks(v)
    section['DATABASE'] = v.REDIS_DB_CACHE
    if v.REDIS_CACHE_HOST:
        # Another server: a password is not shown to whom it is not for.
        section.pop('SENTINELS', None)
        section.update(HOST=v.REDIS_CACHE_HOST, PORT=6379, USERNAME='', PASSWORD='')
    for name in ('PORT', 'USERNAME', 'PASSWORD'):
        section[name] = getattr(v, f'REDIS_CACHE_{name}') or section[name]
    if 'SENTINELS' in section:
        # NetBox would make it the host of a URL, which knows lower case alone.
        section['KWARGS'] = {'service_name': v.REDIS_SENTINEL_SERVICE}
    if 'SENTINELS' not in section and (section['USERNAME'] or ':' in section['HOST']):
        # NetBox would paste host and user into a URL as they are.
        host = f'[{section["HOST"]}]' if ':' in section['HOST'] else section['HOST']
        section['URL'] = f'{"rediss" if v.REDIS_SSL else "redis"}://{host}:{section["PORT"]}/{v.REDIS_DB_CACHE}'
    return section


def improper(error: BaseException) -> str:
    """What NetBox or Django has against its settings, in a line; empty when the error is another one."""
    kinds = [kind.__name__ for kind in type(error).__mro__]  # Django may not have been loaded
    return ' '.join(str(error).split()) if 'ImproperlyConfigured' in kinds else ''


def die(error: ConfigurationError) -> None:
    """Says what is wrong, a line each, and ends the process."""
    end(*(f'configuration: {mistake}' for mistake in error.mistakes))


def end(*lines: str, status: int = 1) -> None:
    """Says why the container ends and ends the process. The lines are kept, to come after those of s6 too."""
    for line in lines:
        print(f'[netbox] {line}', file=sys.stderr, flush=True)
    with contextlib.suppress(OSError):
        LAST.write_text(''.join(f'{line}\n' for line in lines))
    sys.exit(status)


def instance(settings: Mapping[str, Any]) -> str:
    """A name of this NetBox, the same in all of its containers and in no other's: they share their SECRET_KEY."""
    return hashlib.sha256(b'netbox-container ' + str(settings['SECRET_KEY']).encode()).hexdigest()[:12]


def environ_values() -> SimpleNamespace:
    """The values of this process's environment; ends the process when there is a mistake."""
    try:
        return values(os.environ)
    except ConfigurationError as error:
        die(error)
