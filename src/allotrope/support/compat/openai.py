"""Private parts of `langchain-openai`; `profile_table` needs no import of it."""

import runpy
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any


@cache
def profile_table() -> Mapping[str, Mapping[str, Any]]:
    """What the package says of each model of OpenAI: window, longest answer, what it takes.

    Reason: `ChatOpenAI(...).profile` says the same, after an import of two seconds, and the command
    line needs it. Without it: windows and parameters come from `models/catalogue` alone.
    """
    spec = find_spec("langchain_openai")
    if spec is None or spec.origin is None:
        return {}
    path = Path(spec.origin).parent / "data" / "_profiles.py"
    if not path.is_file():
        return {}
    table: Mapping[str, Mapping[str, Any]] = runpy.run_path(str(path)).get("_PROFILES", {})
    return table
