"""The secret of this installation that ids of quoted texts are made with."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from allotrope.exceptions import StoreError
from allotrope.settings import Settings
from allotrope.stores.folders import data_folder

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
    """Makes the file whole and private before it has its name; another process's may be first."""
    handle, fresh = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(_BYTES))
        with suppress(FileExistsError):
            os.link(fresh, path)
        if found := _read(path):
            return found
        os.replace(fresh, path)  # what was there is no secret
        return path.read_bytes()
    finally:
        with suppress(FileNotFoundError):
            os.unlink(fresh)
