"""What sandboxed code may read: Python, the system's libraries, and the packages it needs."""

import importlib.metadata
import os
import sys
import sysconfig
from collections.abc import Sequence
from functools import cache

from packaging.requirements import InvalidRequirement, Requirement


def interpreter() -> str:
    """Our interpreter, without the `..` that a start as `../.venv/bin/python` leaves in its path:
    the folder it goes through isn't there inside the walls."""
    return os.path.abspath(sys.executable)


@cache
def readable(packages: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Files and folders that are shown to code, and folders of which the names are.

    Of a virtual environment that is the interpreter and the packages with what they require, not
    our own code nor whatever else lies there. Packages of a Python without a virtual environment
    lie among the system's, and all of them can be read.

    Args:
        packages: Names of distributions; those that aren't installed are left out.
    """
    paths = sysconfig.get_paths()
    own = {os.path.abspath(path) for path in (sys.base_prefix, paths["stdlib"])} - {"/"}
    system = ["/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/alternatives"]
    chosen = [*_links(interpreter()), os.path.join(sys.prefix, "pyvenv.cfg")]
    chosen += _entries(packages)
    shown: list[str] = []
    for path in sorted({*own, *system, *chosen}, key=len):
        inside = any(path == other or path.startswith(f"{other}/") for other in shown)
        if os.path.lexists(path) and not inside:
            shown.append(path)
    named = {os.path.abspath(paths[kind]) for kind in ("purelib", "platlib")}
    return shown, sorted(named)


def installed(names: Sequence[str]) -> list[str]:
    """Those of some distributions that are installed.

    Args:
        names: Of distributions.
    """
    found = []
    for name in names:
        try:
            importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        found.append(name)
    return found


def _links(path: str) -> list[str]:
    """A link and what it leads to, link by link."""
    found = [path]
    while os.path.islink(path) and len(found) < 20:
        path = os.path.abspath(os.path.join(os.path.dirname(path), os.readlink(path)))
        found.append(path)
    return found


def _entries(names: Sequence[str]) -> list[str]:
    """Files and folders in site-packages of some distributions and of what they require."""
    found: set[str] = set()
    seen: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop().lower().replace("_", "-")
        if name in seen:
            continue
        seen.add(name)
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        base = str(distribution.locate_file(""))
        record = distribution.read_text("RECORD") or ""
        tops = {line.split(",")[0].split("/")[0].strip('"') for line in record.splitlines()}
        for top in tops - {"..", "", "__pycache__"}:
            if not top.endswith(".pth"):
                found.add(os.path.abspath(os.path.join(base, top)))
        for line in distribution.requires or ():
            try:
                needed = Requirement(line)
            except InvalidRequirement:
                continue
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                todo.append(needed.name)
    return sorted(found)
