"""What is believed of a test report that comes out of a sandbox.

Code and its tests share a process, so code that attacks pytest from within can make a test look
passed, as in any CI. What is refused: a report without this run's signature, passes of tests that
stand nowhere in the text, and every report of a pytest in which a test that must fail didn't.
"""

import ast
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, Literal

Status = Literal[
    "ok", "failed", "timeout", "memory", "disk", "no_tests", "unfinished", "forged", "cancelled"
]


def signed(report: bytes, key: bytes) -> dict[str, Any] | None:
    """The first line of a report that has the run's signature.

    Args:
        report: What came over the report's descriptor; lines of `signature JSON`.
        key: The run's key.
    """
    for line in report.split(b"\n"):
        signature, _, text = line.partition(b" ")
        if hmac.compare_digest(signature, hmac.new(key, text, hashlib.sha256).hexdigest().encode()):
            found: dict[str, Any] = json.loads(text)
            return found
    return None


def declared(files: Mapping[str, str]) -> set[str]:
    """Names of the functions in some files that may be tests.

    Args:
        files: Relative name to text; what is no Python is left out.
    """
    names: set[str] = set()
    for name, text in files.items():
        if not name.endswith(".py"):
            continue
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names.add(node.name)
    return names


def judged(
    code: int, found: dict[str, Any] | None, files: Mapping[str, str]
) -> tuple[Status, dict[str, int]]:
    """The status of a run of tests, and its counts.

    Args:
        code: The exit code.
        found: The signed report, or None if there was none.
        files: What was run.
    """
    none = {"passed": 0, "failed": 0, "skipped": 0}
    if found is None or (found["passed"] and not (found["check"] or found["failed"])):
        return "unfinished", none
    counts = {key: int(found[key]) for key in none}
    known = declared(files)
    real = [name for name in found["names"] if _function(name) in known]
    if found["check"] not in ([], ["failed"]) or len(real) != counts["passed"]:
        return "forged", {**none, "failed": counts["failed"]}
    if counts["failed"]:
        return "failed", counts
    if not counts["passed"]:
        return ("no_tests" if code in (0, 5) else "failed"), counts
    return ("ok" if code == 0 else "failed"), counts


def _function(node: str) -> str:
    """The function's name in a test's id: `test_a.py::TestX::test_b[1]`."""
    return node.partition("[")[0].rpartition("::")[2]
