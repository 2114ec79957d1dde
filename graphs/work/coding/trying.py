"""Running the coder's files with their proof, and writing them where a person finds them."""

import hashlib
import threading
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from allotrope.graphs.work.coding.patch import as_it_lies, byte_diff, rewritten
from allotrope.graphs.work.coding.state import CoderState
from allotrope.graphs.work.sandbox.proof.frozen import plain_support
from allotrope.graphs.work.sandbox.proof.proof import GreenTests, prove
from allotrope.graphs.work.sandbox.runner import CodeBackend, Limits, run_tests


def tested(
    state: CoderState, backend: CodeBackend, limits: Limits, stop: threading.Event
) -> dict[str, Any]:
    """A run and its proof as plain values."""
    yours = state.get("yours") or {}
    files, left = _without_foreign_support(state["files"], yours)
    outcome = run_tests(files, limits=limits, cancel=stop, backend=backend)
    told = outcome.facts or {}
    facts = asdict(replace(outcome, facts=None))
    facts["proof"] = {"remarks": left, "changed": (), "problems": ()}
    if outcome.status != "ok":
        return facts
    subject = GreenTests(
        files,
        state["before"],
        {n: t for n, t in state["first_tests"].items() if n in files or n not in state["files"]},
        frozenset(name for name, text in yours.items() if files.get(name) == text),
        tuple(told.get("left") or ()),
    )
    proof = prove(subject, backend, limits=limits, cancel=stop)
    if not proof.holds:
        facts["status"] = "unproven"
    facts["proof"] = {**asdict(proof), "remarks": [*left, *proof.remarks]}
    return facts


def _without_foreign_support(
    files: Mapping[str, str], yours: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """The files without a `conftest.py` that does more than give fixtures, unless it is yours."""
    kept, left = dict(files), []
    for name, text in files.items():
        if not name.endswith("conftest.py") or plain_support(text) or yours.get(name) == text:
            continue
        left.append(f"`{name}` was left out of the run: it can change what tests report.")
        if name in yours:
            kept[name] = yours[name]
        else:
            del kept[name]
    return kept, left


def written_to(state: CoderState, task: str, out: Path, files: Collection[str]) -> list[str]:
    """Writes some of the state's files below the output folder, and a patch for the user's own;
    blocks."""
    seed = hashlib.sha256(task.encode()).hexdigest()[:10]
    folder = out / f"coder-{seed}"
    root, written = state.get("root"), []
    yours = (state.get("yours") or {}) if root else {}
    bytes_of = {name: as_it_lies(Path(root or "") / name, text) for name, text in yours.items()}
    after = {n: rewritten(bytes_of.get(n, b""), t) for n, t in state["files"].items()}
    for name in files:
        # what a person refused to run isn't run by the next `pytest` in the folder either
        path = folder / (f"{name}.txt" if state["declined"] else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(after[name])
        written.append(str(path))
    if root:
        patch = folder.absolute() / "changes.diff"
        patch.write_bytes(byte_diff(bytes_of, after) + b"\n")
        written.append(str(patch))
    return written
