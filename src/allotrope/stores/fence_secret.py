"""The secret of this installation that ids of quoted texts are made with."""

import secrets
from pathlib import Path

from allotrope.exceptions import StoreError
from allotrope.settings import Settings
from allotrope.stores.folders import data_folder
from allotrope.stores.private import make_private, write_whole

NAME = "fence.key"
_BYTES = 32


def fence_secret(settings: Settings) -> bytes:
    """The settings' secret, else that of the data folder, which is made at the first call.

    Kept: an id that changed with each start would end every exact cache hit of prompts with quoted
    texts. Where the folder can't be written, the secret is this process's own.

    Args:
        settings: `prompts.fence_secret`, and the data folder.
    """
    own = settings.prompts.fence_secret
    if own is not None:
        return own.get_secret_value().encode()
    try:
        path = data_folder(settings) / NAME
        return _read(path) or _made(path)
    except (OSError, StoreError):
        return secrets.token_bytes(_BYTES)


def _read(path: Path) -> bytes:
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        return b""
    return found if len(found) == _BYTES else b""


def _made(path: Path) -> bytes:
    """Makes the file; another process may have been first."""
    fresh = secrets.token_bytes(_BYTES)
    make_private(path, fresh)
    if found := _read(path):
        return found
    write_whole(path, fresh)  # what was there is no secret
    return path.read_bytes()
