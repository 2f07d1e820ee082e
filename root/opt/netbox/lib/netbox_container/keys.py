"""Secrets that are generated once and kept: NetBox's SECRET_KEY and token pepper."""

import os
import secrets
from pathlib import Path

from netbox_container.environment import KEY_LENGTH


class KeyFileError(Exception):
    """A kept secret that cannot be used. The message is one line for the operator."""


def keep(path: Path) -> str:
    """The secret in the file, which is made when there is none: mode 0600, whole or not at all."""
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    path.parent.mkdir(exist_ok=True)  # says why a volume takes nothing
    # By chance: containers that share the folder tend to have the same process ids.
    draft = path.with_name(f'.{path.name}.{secrets.token_hex(8)}')
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), 'w') as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fsync(file.fileno())
        try:
            # Linking, unlike renaming, never replaces the key another container just made.
            os.link(draft, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            os.rename(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return _read(path)


def _read(path: Path) -> str:
    key = path.read_text().strip()
    if len(key) < KEY_LENGTH:
        raise KeyFileError(f'{path} holds fewer than {KEY_LENGTH} characters: restore it, or delete it to get a new one')
    return key
