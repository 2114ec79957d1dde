"""Where the ledger is. Imports no database library, so that a turn can begin without one."""

from pathlib import Path

from allotrope.settings import Settings
from allotrope.stores.folders import data_folder

_SQLITE = "sqlite:///"


def ledger_path(settings: Settings) -> Path:
    """Where the SQLite ledger lies."""
    return data_folder(settings) / "usage.db"


def ledger_url(settings: Settings) -> str:
    """The SQLAlchemy URL of the ledger; it may hold a password."""
    url = settings.usage.ledger_url
    return url.get_secret_value() if url is not None else f"{_SQLITE}{ledger_path(settings)}"


def spill_path(settings: Settings) -> Path:
    """The file for calls that can't be written to the ledger."""
    return data_folder(settings) / "usage-spill.jsonl"


def default_spill_path(url: str) -> Path:
    """Beside a SQLite ledger; for a server, in the user's data folder."""
    if url.startswith(_SQLITE):
        return Path(url.removeprefix(_SQLITE)).parent / "usage-spill.jsonl"
    from platformdirs import user_data_path

    return user_data_path("allotrope", appauthor=False) / "usage-spill.jsonl"
