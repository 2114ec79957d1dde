"""The data folder of the user."""

import os
from pathlib import Path

from allotrope.exceptions import StoreError
from allotrope.settings import Settings


def data_folder(settings: Settings) -> Path:
    """The folder for everything we keep, made for the owner only when it is missing.

    Args:
        settings: Its `data_dir` wins over the user's data folder of the platform.

    Returns:
        The folder; it exists and can be written.

    Raises:
        StoreError: It can't be made or written.
    """
    if settings.data_dir is not None:
        folder = settings.data_dir.expanduser().absolute()
    else:
        from platformdirs import user_data_path

        folder = user_data_path("allotrope", appauthor=False)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as exc:
        raise StoreError(
            f"The data folder {folder} can't be made: {exc.strerror}.",
            hint="Set ALLOTROPE_DATA_DIR to a folder you can write.",
        ) from exc
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise StoreError(
            f"The data folder {folder} can't be written.",
            hint="Set ALLOTROPE_DATA_DIR to a folder you can write.",
        )
    return folder
