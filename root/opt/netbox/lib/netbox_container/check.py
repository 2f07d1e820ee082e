"""The first service: finds every mistake in the configuration before anything is touched.

Runs as user abc once /config is theirs; makes the folders and keys NetBox needs.
"""

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

from netbox_container import configuration, keys, named, near_misses


def main() -> None:
    home = configuration.HOME
    values = configuration.environ_values()
    mistakes = []
    for file in configuration.own_files(home):
        try:
            compile(file.read_bytes(), str(file), 'exec')
        except (SyntaxError, ValueError) as error:
            mistakes.append(f'{file}, line {getattr(error, "lineno", 0)}: {error}')
        except OSError as error:
            mistakes.append(f'reading {file}: {error.strerror}: make it readable for the user of PUID')
    notes = []
    try:
        for name in ('configuration.d', 'keys', 'media', 'reports', 'scripts'):
            (home / name).mkdir(exist_ok=True)
    except OSError as error:
        notes.append(f'making {error.filename}: {error.strerror}: uploads may not be kept: {remedy(home)}')
    for path in (home / 'keys', *(home / 'keys').rglob('*')):
        with suppress(OSError):  # not every volume knows modes
            close(path)
    try:
        _, wrong = named.apply(os.environ, configuration.from_values(values, home))
        mistakes += wrong
    except keys.KeyFileError as error:
        mistakes.append(str(error))
    except OSError as error:
        mistakes.append(
            f'keeping a key in {home / "keys"}: {error.strerror}: {remedy(home)}, or set SECRET_KEY and API_TOKEN_PEPPER'
        )
    if mistakes:
        configuration.die(configuration.ConfigurationError(*mistakes))
    if values.REDIS_DB_TASK == values.REDIS_DB_CACHE and not values.REDIS_CACHE_HOST:
        notes.append(f'REDIS_DB_TASK and REDIS_DB_CACHE are both {values.REDIS_DB_TASK}: clearing the cache would lose tasks: set them apart')
    for file in configuration.own_files(home):
        notes.append(f'{file} applies over the environment')
    for file in (*configuration.own_files(home), home / 'ldap_config.py'):
        try:
            if file.exists():
                close(file)
        except OSError as error:
            notes.append(f'{file} can be read by others, and its mode cannot be changed: {error.strerror}')
    notes += near_misses.find(os.environ)
    for note in notes:
        print(f'[netbox] configuration: {note}', file=sys.stderr)


def remedy(home: Path, state: Path = Path('/run/s6')) -> str:
    """What to do about a folder that cannot be written."""
    user = state.stat().st_uid if state.exists() else 0
    if user:  # as with `docker run --user`: the supervisor could change no owner
        return f'give {home} to user {user}, or start the container without a user and set PUID and PGID'
    return f'check the volume at {home}'


def close(path: Path) -> None:
    """Closes a file or folder to all but its owner: secrets are kept in it."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        path.chmod(mode & 0o700)


if __name__ == '__main__':
    main()
