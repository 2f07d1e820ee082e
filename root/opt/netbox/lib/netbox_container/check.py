"""The first service: finds every mistake in the configuration before anything is touched.

Runs as user abc once /config is theirs; makes the folders and keys NetBox needs.
"""

import os
import sys
from contextlib import suppress

from netbox_container import configuration, keys


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
    try:
        for name in ('configuration.d', 'keys', 'media', 'reports', 'scripts'):
            (home / name).mkdir(exist_ok=True)
        with suppress(OSError):  # not every volume knows modes
            (home / 'keys').chmod(0o700)
        configuration.from_values(values, home)
    except keys.KeyFileError as error:
        mistakes.append(str(error))
    except OSError as error:
        mistakes.append(f'writing {error.filename or home}: {error.strerror}: check the volume at {home}')
    if mistakes:
        configuration.die(configuration.ConfigurationError(*mistakes))
    for file in configuration.own_files(home):
        print(f'[netbox] configuration: {file} applies over the environment', file=sys.stderr)


if __name__ == '__main__':
    main()
