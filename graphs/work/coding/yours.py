"""The user's own files: those a task names, copied for the sandbox; they themselves stay as is."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from allotrope.exceptions import AllotropeError, InputError
from allotrope.graphs.work.sandbox.outcome import MAX_CHARS, MAX_FILES
from allotrope.graphs.work.sandbox.proof.targets import imported
from allotrope.graphs.work.sources.naming import files_named
from allotrope.graphs.work.sources.reading.files import allowed_file, decode, inside
from allotrope.settings import Settings

SUFFIXES = (
    ".py",
    ".pyi",
    ".toml",
    ".cfg",
    ".ini",
    ".txt",
    ".md",
    ".rst",
    ".json",
    ".jsonl",
    ".yaml",
    ".yml",
    ".csv",
    ".js",
    ".mjs",
    ".ts",
    ".jsx",
    ".tsx",
    ".html",
    ".css",
    ".sql",
    ".sh",
    ".go",
    ".rs",
    ".java",
    ".c",
    ".h",
    ".cpp",
    ".rb",
    ".php",
)
MOST_BYTES = 500_000
"""Bytes of one file; larger ones of a folder are left out."""
_SKIPPED = frozenset(
    {"__pycache__", "node_modules", "venv", "env", "build", "dist", "site-packages", "target"}
)


@dataclass(frozen=True)
class Yours:
    """Files of the user's.

    Args:
        root: The folder that names are relative to; empty where no file is named.
        files: Name to text.
        missing: Names that lead to no file.
        notes: What else is to be said, a sentence each.
    """

    root: str = ""
    files: dict[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def yours_in(question: str, settings: Settings) -> Yours:
    """Reads the files and the folder that a task names; blocks.

    Args:
        question: The user's words.
        settings: Folders that may be read.

    Raises:
        InputError: A file that is there can't be read, lies outside, or there are too many.
    """
    roots = settings.agents.file_roots
    found: list[tuple[str, Path]] = []
    missing: list[str] = []
    for name, _ in files_named(question, SUFFIXES, folders=True, any_quoted=True):
        if "://" in name or not (name.lower().endswith(SUFFIXES) or "/" in name):
            continue
        try:
            found.append((name, inside(name, roots=roots)))
        except AllotropeError:
            if Path(name).expanduser().exists():
                raise
            missing.append(name.removeprefix("./"))
    if not found:
        return Yours(missing=tuple(dict.fromkeys(missing)))
    folders = [path for _, path in found if path.is_dir()]
    root = _common(folders) if folders else _root_of([path for _, path in found], roots)
    wanted = [path for _, path in found if path.is_file()]
    if any(not path.is_relative_to(root) for path in wanted):
        raise InputError(
            "The files and the folder that you name lie apart.", hint="Name one folder for all."
        )
    notes: list[str] = []
    for folder in folders:
        more, left = _below(folder)
        wanted += more
        if left:
            notes.append(f"Left out of {folder.name}/, being too large or no text: {left} files.")
    texts = _texts(wanted, root, settings)
    if not folders:
        _with_neighbours(texts, root, settings)
    if sum(map(len, texts.values())) > MAX_CHARS:
        raise InputError(
            f"The files have more than {MAX_CHARS:,} characters.", hint="Name a smaller folder."
        )
    return Yours(str(root), texts, tuple(dict.fromkeys(missing)), tuple(notes))


def _common(folders: list[Path]) -> Path:
    return Path(os.path.commonpath(folders))


def _root_of(paths: list[Path], roots: Iterable[Path]) -> Path:
    """The allowed folder that holds all the files, the innermost first; else their common one."""
    real = [Path(os.path.realpath(root.expanduser())) for root in roots]
    for root in sorted(real, key=lambda one: -len(one.parts)):
        if all(path.is_relative_to(root) for path in paths):
            here = Path.cwd()
            inner = here.is_relative_to(root) and all(path.is_relative_to(here) for path in paths)
            return here if inner else root
    return _common([path.parent for path in paths])


def _below(folder: Path) -> tuple[list[Path], int]:
    """The text files of a folder, and how many others were left out."""
    found: list[Path] = []
    left = 0
    for place, names, files in os.walk(folder):
        names[:] = sorted(n for n in names if n not in _SKIPPED and not n.startswith("."))
        for name in sorted(files):
            path = Path(place) / name
            if name.startswith(".") or not path.is_file():
                continue
            if path.suffix.lower() not in SUFFIXES or path.stat().st_size > MOST_BYTES:
                left += path.suffix != ".pyc"
                continue
            found.append(path)
            if len(found) > MAX_FILES:
                raise InputError(
                    f"The folder {folder.name} has more than {MAX_FILES} files of code and text.",
                    hint="Name a smaller folder.",
                )
    return found, left


def _texts(paths: Iterable[Path], root: Path, settings: Settings) -> dict[str, str]:
    most = settings.agents.max_file_mb * 1_000_000
    texts: dict[str, str] = {}
    for path in paths:
        name = path.relative_to(root).as_posix()
        if name in texts:
            continue
        if path.stat().st_size == 0:
            texts[name] = ""
            continue
        good = allowed_file(path, roots=settings.agents.file_roots, max_bytes=most)
        texts[name] = decode(good.read_bytes(), name=name)
    return texts


def _with_neighbours(texts: dict[str, str], root: Path, settings: Settings) -> None:
    """Adds what named Python files need: modules beside them that they import, packages'
    `__init__.py`, `conftest.py`, and the tests that bear their names."""
    todo = [name for name in texts if name.endswith(".py")]
    seen = set(texts)
    while todo and len(seen) <= MAX_FILES:
        name = todo.pop()
        folder = (root / name).parent
        near: list[Path] = []
        for module in imported({name: texts[name]}):
            for base in (root, folder, root / "src"):
                near += [base / f"{module}.py"]
                package = base / module
                if (package / "__init__.py").is_file():
                    near += sorted(package.rglob("*.py"))[:MAX_FILES]
        for one in (folder, *folder.parents):
            if one.is_relative_to(root):
                near += [one / "__init__.py", one / "conftest.py"]
        stem = Path(name).stem
        near += [base / f"test_{stem}.py" for base in (folder, folder / "tests", root / "tests")]
        for path in near:
            if not path.is_file() or not path.resolve().is_relative_to(root):
                continue
            key = path.relative_to(root).as_posix()
            if key in seen or any(part.startswith(".") for part in Path(key).parts):
                continue
            seen.add(key)
            texts.update(_texts([path], root, settings))
            todo.append(key)
