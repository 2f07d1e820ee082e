"""The environment variables of the image.

VARIABLES is the whole list: name, what it accepts, default. What each is for
stands in readme-vars.yml, and in README.md, which is made of it. A variable
that is empty counts as unset. Every X can be given as FILE__X=PATH instead.
No value is ever evaluated as code.
"""

import ast
import ipaddress
import json
import re
import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

KEY_LENGTH = 50  # NetBox refuses shorter keys and peppers


@dataclass(frozen=True)
class Kind:
    """A kind of value: how it is read (ValueError when it is none) and, for people, what it is."""

    says: str
    parse: Callable[[str], Any]


@dataclass(frozen=True)
class Variable:
    name: str
    kind: Kind
    default: Any
    secret: bool = False  # never shown, not even in a complaint
    required: str = ''  # what it is for, of one that must be set


def _text(value: str) -> str:
    return value


def _boolean(value: str) -> bool:
    word = value.strip().lower()
    if word in ('true', 'yes', 'on', '1', 't', 'y'):
        return True
    if word in ('false', 'no', 'off', '0', 'f', 'n'):
        return False
    raise ValueError


def _number(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not re.fullmatch(r'[0-9]{1,9}', value.strip(), re.ASCII):
            raise ValueError
        number = int(value)
        if not low <= number <= high:
            raise ValueError
        return number

    return parse


def _one_of(*choices: str) -> Kind:
    def parse(value: str) -> str:
        if value.strip().lower() not in choices:
            raise ValueError
        return value.strip().lower()

    return Kind('one of ' + ', '.join(choices), parse)


def _at_least(length: int) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if len(value) < length:
            raise ValueError
        return value

    return parse


def literal(value: str) -> Any:
    """What JSON or else Python has for a value; ValueError when it is neither."""
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise ValueError from None


def _strings(value: str) -> list[str]:
    items = literal(value)
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, str) for item in items):
        raise ValueError
    for item in items:
        item.encode()  # JSON can spell halves of characters, which no database takes
    return list(items)


def _words(value: str) -> list[str]:
    # A bracket begins a list, or an IPv6 address.
    listed = re.match(r'\s*[\[(]\s*["\'\])]', value)
    words = _strings(value) if listed else re.split(r'[\s,]+', value.strip(' \t\r\n,'))
    if not words or not all(words):
        raise ValueError
    return words


def _permissions(value: str) -> dict[str, Any]:
    mapping = literal(value)
    if not isinstance(mapping, dict):
        raise ValueError
    for name, constraint in mapping.items():
        choices = constraint if isinstance(constraint, (list, tuple)) else [{} if constraint is None else constraint]
        if not isinstance(name, str) or not all(isinstance(choice, dict) for choice in choices):
            raise ValueError
    try:
        json.dumps(mapping, allow_nan=False, ensure_ascii=False).encode()  # what the database is to keep
    except (TypeError, RecursionError):
        raise ValueError from None
    return mapping


class Instead(ValueError):
    """A value that is none, of which one can guess what was meant: the message says what to write."""


def _hosts(value: str) -> list[str]:
    hosts = _words(value)
    for host in hosts:
        # Only these can Django match with what browsers send: it refuses all other names by itself.
        if not re.fullmatch(r'\*|\[[0-9A-Fa-f:.]+\]|\.?[A-Za-z0-9._-]+', host):
            raise Instead(meant) if (meant := _meant_host(host)) else ValueError
    return hosts


def _meant_host(text: str) -> str:
    """What to write in place of what is no host name, in words; empty when one cannot know."""
    if re.fullmatch(r'[0-9A-Fa-f:.]+/[0-9]+|[0-9.]+/[0-9.]+', text):
        return 'NetBox knows no networks: write each address, or *'
    if text.count(':') > 1 and re.fullmatch(r'[0-9A-Fa-f:.]+', text):
        return f'write {_shown(f"[{text}]")}'
    parts = [urlsplit(part if '://' in part else f'//{part}').netloc for part in text.split(';') if part]
    hosts = []
    for part in parts:
        host = re.sub(r':[0-9]*$', '', part.rpartition('@')[2])
        host = host[1:] if host.startswith('*.') else host
        try:
            host = host if host.isascii() else host.encode('idna').decode()
        except UnicodeError:
            return ''
        hosts.append(host)
    if not hosts or not all(re.fullmatch(r'\*|\[[0-9A-Fa-f:.]+\]|\.?[A-Za-z0-9._-]+', host) for host in hosts):
        return ''
    return f'write {_shown(", ".join(hosts))}'


def _origins(value: str) -> list[str]:
    origins = _words(value)
    for origin in origins:
        parts = urlsplit(origin)
        if parts.scheme not in ('http', 'https') or not parts.netloc or parts.path or parts.query or parts.fragment:
            raise ValueError
    return origins


def _host(value: str) -> str:
    host = value.strip()
    if re.fullmatch(r'[\w.-]+', host):
        return host
    return str(ipaddress.ip_address(host.removeprefix('[').removesuffix(']')))


def _database_host(value: str) -> str:
    # libpq takes several hosts, and sockets.
    hosts = [host.strip() if host.strip().startswith(('/', '@')) else _host(host) for host in value.split(',')]
    return ','.join(hosts)


def _service(value: str) -> str:
    if not re.fullmatch(r'[A-Za-z0-9._-]+', value.strip()):
        raise ValueError
    return value.strip()


def _sentinels(value: str) -> list[tuple[str, int]]:
    sentinels = []
    for word in _words(value):
        host, colon, port = word.rpartition(':')
        if not colon or not host:
            raise ValueError
        sentinels.append((_host(host), PORT.parse(port)))
    return sentinels


def _path(value: str) -> str:
    path = value.strip().strip('/')
    if not re.fullmatch(r'[A-Za-z0-9._~/-]*', path) or '//' in path or {'.', '..'} & set(path.split('/')):
        raise ValueError
    return path


def _zone(value: str) -> str:
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError from None
    return value


def _username(value: str) -> str:
    if not re.fullmatch(r'[\w.@+-]{1,150}', value):
        raise ValueError
    return value


def _token(value: str) -> str:
    if not re.fullmatch(r'nbt_[A-Za-z0-9]{12}\.[A-Za-z0-9]{40}', value):
        raise ValueError
    return value


def _mask(value: str) -> int:
    if not re.fullmatch(r'[0-7]{1,4}', value.strip()) or int(value, 8) > 0o777:
        raise ValueError
    return int(value, 8)


TEXT = Kind('text', _text)
HOST = Kind('a host name or address, without scheme or port', _host)
DATABASE_HOST = Kind('host names or addresses without scheme or port, or the directory of a socket', _database_host)
SERVICE = Kind('a name of letters, digits and . _ -', _service)
PORT = Kind('a number from 1 to 65535', _number(1, 65535))
INDEX = Kind('a number from 0 to 65535', _number(0, 65535))
SECONDS = Kind('a number of seconds from 1 to 86400', _number(1, 86400))
COUNT = Kind('a number from 1 to 64', _number(1, 64))
BOOLEAN = Kind('true or false', _boolean)
KEY = Kind(f'text of {KEY_LENGTH} or more characters', _at_least(KEY_LENGTH))
HOSTS = Kind('host names without scheme, port or path, separated by commas or spaces, or *', _hosts)
ORIGINS = Kind('origins like https://netbox.example.com, separated by commas or spaces', _origins)
SENTINELS = Kind('HOST:PORT, separated by commas or spaces', _sentinels)
STRINGS = Kind('a list of strings, as JSON or Python: ["one", "two"]', _strings)
PERMISSIONS = Kind('a mapping of permission to constraints, as JSON or Python: {"dcim.view_site": null}', _permissions)
PATH = Kind('a path of letters, digits and . _ ~ - /', _path)
MASK = Kind('an octal number from 0 to 777, like 022', _mask)
USERNAME = Kind('a name of up to 150 letters, digits and @ . + - _', _username)
TOKEN = Kind('a version-2 token: nbt_, 12 letters or digits, a full stop, and 40 more', _token)
ZONE = Kind('a time zone like Europe/Berlin', _zone)

VARIABLES = (
    # name                              accepts      default
    Variable('TZ',                      ZONE,        'Etc/UTC'),
    Variable('UMASK',                   MASK,        None),
    Variable('SUPERUSER_NAME',          USERNAME,    'admin'),
    Variable('SUPERUSER_EMAIL',         TEXT,        ''),
    Variable('SUPERUSER_PASSWORD',      TEXT,        '', secret=True),
    Variable('SUPERUSER_API_TOKEN',     TOKEN,       '', secret=True),
    Variable('SKIP_SUPERUSER',          BOOLEAN,     False),
    Variable('ALLOWED_HOST',            HOSTS,       [], required='Host names NetBox is reached by; `*` allows any.'),
    Variable('DB_NAME',                 TEXT,        'netbox'),
    Variable('DB_USER',                 TEXT,        '', required='Database user, who may create tables in the database.'),
    Variable('DB_PASSWORD',             TEXT,        '', secret=True),
    Variable('DB_HOST',                 DATABASE_HOST, 'postgres'),
    Variable('DB_PORT',                 PORT,        5432),
    Variable('DB_SSLMODE',              _one_of('disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'), 'prefer'),
    Variable('REDIS_HOST',              HOST,        'redis'),
    Variable('REDIS_PORT',              PORT,        6379),
    Variable('REDIS_USERNAME',          TEXT,        ''),
    Variable('REDIS_PASSWORD',          TEXT,        '', secret=True),
    Variable('REDIS_DB_TASK',           INDEX,       0),
    Variable('REDIS_DB_CACHE',          INDEX,       1),
    Variable('REDIS_SSL',               BOOLEAN,     False),
    Variable('REDIS_SSL_VERIFY',        BOOLEAN,     True),
    Variable('REDIS_SSL_CA',            TEXT,        ''),
    Variable('REDIS_SENTINELS',         SENTINELS,   []),
    Variable('REDIS_SENTINEL_SERVICE',  SERVICE,     'mymaster'),
    Variable('REDIS_CACHE_HOST',        HOST,        None),
    Variable('REDIS_CACHE_PORT',        PORT,        None),
    Variable('REDIS_CACHE_USERNAME',    TEXT,        None),
    Variable('REDIS_CACHE_PASSWORD',    TEXT,        None, secret=True),
    Variable('BASE_PATH',               PATH,        ''),
    Variable('REMOTE_AUTH_ENABLED',     BOOLEAN,     False),
    Variable('REMOTE_AUTH_BACKEND',     TEXT,        'netbox.authentication.RemoteUserBackend'),
    Variable('REMOTE_AUTH_HEADER',      TEXT,        'HTTP_REMOTE_USER'),
    Variable('REMOTE_AUTH_AUTO_CREATE_USER', BOOLEAN, False),
    Variable('REMOTE_AUTH_DEFAULT_GROUPS', STRINGS,  []),
    Variable('REMOTE_AUTH_DEFAULT_PERMISSIONS', PERMISSIONS, {}),
    Variable('CSRF_TRUSTED_ORIGINS',    ORIGINS,     []),
    Variable('METRICS_ENABLED',         BOOLEAN,     False),
    Variable('SECRET_KEY',              KEY,         None, secret=True),
    Variable('API_TOKEN_PEPPER',        KEY,         None, secret=True),
    Variable('NETBOX_ROLE',             _one_of('all', 'web', 'worker'), 'all'),
    Variable('WEB_WORKERS',             COUNT,       None),
    Variable('WEB_THREADS',             COUNT,       4),
    Variable('RQ_WORKERS',              COUNT,       1),
    Variable('STARTUP_TIMEOUT',         SECONDS,     120),
)


def unlinked(environ: Mapping[str, str], name: str, raw: str) -> str:
    """The port in a variable that Kubernetes has set for a service of that name, like REDIS_PORT=tcp://10.0.0.1:6379."""
    link = re.fullmatch(r'(?:tcp|udp|sctp)://\S+:([0-9]+)', raw)
    if not link or not name.endswith('_PORT'):
        return raw
    service = name.removesuffix('_PORT')
    if not environ.get(f'{service}_SERVICE_HOST'):
        raise Instead(f'write the port alone: {link[1]}')
    # Nobody asked for another port of the cache than that of the tasks.
    return '' if name == 'REDIS_CACHE_PORT' and not environ.get('REDIS_CACHE_HOST') else link[1]


def read(environ: Mapping[str, str], *, lenient: bool = False) -> tuple[SimpleNamespace, list[str]]:
    """The value of every variable, and one line for every mistake.

    With lenient, required variables may be missing: the user's own
    configuration file stands in for them.
    """
    values, mistakes = SimpleNamespace(), []
    for variable in VARIABLES:
        raw = environ.get(variable.name, '')
        if environ.get('FILE__' + variable.name) and raw.endswith('\n'):
            # The final newline an editor leaves in a file is never meant.
            raw = raw[:-1].removesuffix('\r')
        value = variable.default
        if raw:
            try:
                raw.encode()  # what is not UTF-8 would fail much later, and obscurely
                raw = unlinked(environ, variable.name, raw)
                value = variable.kind.parse(raw) if raw else value
            except ValueError as error:
                shown = '' if variable.secret else f', not {_shown(raw)}'
                instead = f': {error}' if isinstance(error, Instead) else ''
                mistakes.append(f'{variable.name} must be {variable.kind.says}{shown}{instead}')
        elif variable.required and not lenient:
            mistakes.append(f'{variable.name} is required: {variable.required}')
        setattr(values, variable.name, value)
    return values, mistakes


def _shown(raw: str) -> str:
    # What is printed is cut, not what is read: one character may be printed as ten.
    shown = ascii(raw)
    return shown if len(shown) <= 62 else f'{shown[:58]}...{shown[0]}'
