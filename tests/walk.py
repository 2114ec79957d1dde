"""The walk of a turn: which files of the package a plain `ask` enters, and how often it moves.

    .venv/bin/python tests/walk.py          # the figures, and the files with their entries

The second turn of a warm agent, on the simulator, in the thread of its event loop; a call of a
function in another file is a move. The figures in `MOST` may only fall.
"""

import asyncio
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from allotrope import build_agent, load_settings
from allotrope.testing import ProviderSimulator

ROOT = Path(__file__).resolve().parents[1]
MOST = {"files": 75, "moves": 380}
"""What a turn took when this was last lowered."""


def walk() -> Counter[str]:
    """Each file that a turn enters, and how often it is entered from another one."""
    entered: Counter[str] = Counter()
    last = ""

    def note(frame: FrameType, event: str, arg: Any) -> None:
        nonlocal last
        if event != "call":
            return
        path = os.path.realpath(frame.f_code.co_filename)
        if not path.startswith(f"{ROOT}/") or "/.venv/" in path or not path.endswith(".py"):
            return
        name = path.removeprefix(f"{ROOT}/")
        if name != last and not name.startswith(("src/allotrope/testing/", "tests/")):
            entered[name] += 1
            last = name

    with ProviderSimulator() as simulator, tempfile.TemporaryDirectory() as folder:
        settings = load_settings(
            environ={}, env_file=None, data_dir=folder,
            openai={"api_key": "sk-walk", "base_url": simulator.openai_url},
            ollama={"enabled": False}, embedded={"enabled": False}, redis={"embedded": False},
        )  # fmt: skip
        with build_agent("assistant", settings=settings) as agent:
            agent.ask("warm up", thread_id="first")
            sys.setprofile(note)
            try:
                asyncio.run(agent.aask("What is the capital of France?", thread_id="second"))
            finally:
                sys.setprofile(None)
    return entered


if __name__ == "__main__":
    found = walk()
    for file, times in found.most_common():
        print(f"{times:4} {file}")
    print(f"files: {len(found)}, moves: {found.total()}")
