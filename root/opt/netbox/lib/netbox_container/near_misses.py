"""Variables that nobody reads, with the names that were probably meant: never their values."""

import difflib
import re
from collections.abc import Mapping

from netbox_container import environment, named

# As other images and PostgreSQL's own call what this image reads.
OTHERS = {
    'ALLOWED_HOSTS': 'ALLOWED_HOST',
    'API_TOKEN_PEPPER_1': 'API_TOKEN_PEPPER',
    'DB_DATABASE': 'DB_NAME',
    'DB_PASS': 'DB_PASSWORD',
    'DB_USERNAME': 'DB_USER',
    'EMAIL_FROM': 'NETBOX__EMAIL__FROM_EMAIL',
    'POSTGRES_DB': 'DB_NAME',
    'POSTGRES_HOST': 'DB_HOST',
    'POSTGRES_PASSWORD': 'DB_PASSWORD',
    'POSTGRES_PORT': 'DB_PORT',
    'POSTGRES_USER': 'DB_USER',
    'REDIS_CACHE_DATABASE': 'REDIS_DB_CACHE',
    'REDIS_CACHE_INSECURE_SKIP_TLS_VERIFY': 'REDIS_SSL_VERIFY',
    'REDIS_CACHE_SSL': 'REDIS_SSL',
    'REDIS_DATABASE': 'REDIS_DB_TASK',
    'REDIS_DB': 'REDIS_DB_TASK',
    'REDIS_INSECURE_SKIP_TLS_VERIFY': 'REDIS_SSL_VERIFY',
    'REDIS_PASS': 'REDIS_PASSWORD',
    'REDIS_USER': 'REDIS_USERNAME',
    'SUPERUSER_PASS': 'SUPERUSER_PASSWORD',
    'SUPERUSER_TOKEN': 'SUPERUSER_API_TOKEN',
    'SUPERUSER_USER': 'SUPERUSER_NAME',
    'SUPERUSER_USERNAME': 'SUPERUSER_NAME',
    'TIME_ZONE': 'TZ',
    'TIMEZONE': 'TZ',
}


def find(environ: Mapping[str, str]) -> list[str]:
    """One line for every variable that is close to one this image reads."""
    read = {'PUID', 'PGID', *(variable.name for variable in environment.VARIABLES)}
    settings = named.known()
    found = []
    for name in sorted(environ):
        if name not in read and not name.startswith(named.PREFIX) and not _link(environ, name):
            if meant := _meant(name, read, settings):
                found.append(f'{name} is not read: did you mean {meant}?')
    return found


def _meant(name: str, read: set[str], settings: Mapping[str, named.Setting]) -> str:
    def of(name: str) -> str:
        """What a name without its hint at a file means."""
        if name in read or name.startswith(named.PREFIX):
            return name
        if name in OTHERS:
            return OTHERS[name]
        setting = name.removeprefix('NETBOX_')
        if '_' in setting and setting in settings:
            return named.PREFIX + setting
        if name.startswith('EMAIL_') and name.removeprefix('EMAIL_') in settings.get('EMAIL', named.Setting()).keys:
            return f'{named.PREFIX}EMAIL__{name.removeprefix("EMAIL_")}'
        close = difflib.get_close_matches(name, read, 1, 0.9) if len(name) > 5 else []
        return close[0] if close else ''

    bare = re.sub(r'^FILE__?|_FILE$', '', name)
    if bare != name and (meant := of(bare)):
        return '' if name == f'FILE__{meant}' else f'FILE__{meant}'
    return of(name)


def _link(environ: Mapping[str, str], name: str) -> bool:
    """Whether Kubernetes has set it, for a service that may well be called redis or postgres."""
    if re.search(r'_SERVICE_(HOST|PORT)|_PORT_[0-9]+_', name):
        return True
    return name.endswith('_PORT') and f'{name.removesuffix("_PORT")}_SERVICE_HOST' in environ
