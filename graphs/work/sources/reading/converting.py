"""Foreign files are parsed in the sandbox: bounded in memory, time and number, never in the server.

The file goes in and the result comes out over open files, so the process sees nothing else.
"""

import json
import secrets
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files as package_files
from typing import IO, Any

from allotrope.exceptions import InputError
from allotrope.graphs.work.sandbox.runner import Limits, run_program

AT_ONCE = 2
"""Conversions at a time in this process; each may use a processor and `memory_mb`."""
WAIT_S = 60.0
"""Seconds that one waits for its turn."""
_turns = threading.BoundedSemaphore(AT_ONCE)


@dataclass(frozen=True)
class ConversionLimits:
    """What one conversion may use.

    Args:
        cpu_s: Seconds of processor time.
        wall_s: Seconds from start to end, on a busy machine.
        memory_mb: Megabytes of memory.
        result_mb: Megabytes of what comes out.
    """

    cpu_s: int = 15
    wall_s: float = 60.0
    memory_mb: int = 1024
    result_mb: int = 256


@contextmanager
def converted(
    raw: bytes,
    facts: Mapping[str, Any],
    *,
    program: str,
    name: str,
    packages: tuple[str, ...] = (),
    modules: Mapping[str, str] | None = None,
    limits: ConversionLimits | None = None,
) -> Iterator[tuple[Any, IO[bytes]]]:
    """Runs one of our converters over a file.

    Args:
        raw: The file.
        facts: What the converter is told.
        program: The converter: a function `convert(file, out, facts)` that gives plain values, and
            raises `Refused` for what a person should read.
        name: The file's name, for messages.
        packages: Distributions that the converter imports.
        modules: Modules of ours that it imports: file name to text.
        limits: What it may use.

    Yields:
        What the converter gave, and a file with what it wrote to `out`.

    Raises:
        InputError: The file is broken, or needs more than it may have; the message names the limit.
    """
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as result:
        source.write(raw)
        source.seek(0)
        value = _run(
            source,
            facts,
            result,
            program=program,
            name=name,
            packages=packages,
            modules=modules or {},
            own=limits or ConversionLimits(),
        )
        result.seek(0)
        yield value, result


def _run(
    source: IO[bytes],
    facts: Mapping[str, Any],
    result: IO[bytes],
    *,
    program: str,
    name: str,
    packages: tuple[str, ...],
    modules: Mapping[str, str],
    own: ConversionLimits,
) -> Any:
    """What the converter gave; arguments as in `converted`."""
    mark = secrets.token_hex(16)
    job = {**facts, "in": source.fileno(), "out": result.fileno(), "mark": mark}
    if not _turns.acquire(timeout=WAIT_S):
        raise InputError(
            f"{name} wasn't read: {AT_ONCE} other files are being read.", hint="Try again."
        )
    try:
        outcome = run_program(
            f"{_HEAD}\n{program}\n{_TAIL}",
            {"job.json": json.dumps(job), **modules},
            limits=Limits(
                wall_s=own.wall_s,
                cpu_s=own.cpu_s,
                memory_mb=own.memory_mb,
                disk_mb=own.result_mb,
                processes=64,
                output_bytes=64_000_000,
            ),
            packages=packages,
            handles=(source.fileno(), result.fileno()),
        )
    finally:
        _turns.release()
    _, found, text = outcome.output.rpartition(mark)
    if found:
        answer = json.loads(text)
        if "refused" in answer:
            raise InputError(f"{name} {answer['refused']}")
        return answer["value"]
    if outcome.status == "memory" or "MemoryError" in outcome.output:
        raise InputError(f"{name} can't be read: it needs more than {own.memory_mb} MB of memory.")
    if outcome.status == "timeout" or outcome.exit_code in (128 + 24, 128 + 9):
        raise InputError(
            f"{name} can't be read: that takes longer than {own.cpu_s} seconds of computing."
        )
    raise InputError(f"{name} can't be read: it is broken or protected.")


_HEAD = """
import json, os, resource, sys
sys.path.insert(0, os.getcwd())
class Refused(Exception):
    pass
"""
_TAIL = """
def main():
    with open("job.json", encoding="utf-8") as file:
        job = json.load(file)
    try:
        with os.fdopen(job["in"], "rb") as source, os.fdopen(job["out"], "wb") as out:
            answer = {"value": convert(source, out, job)}
    except Refused as exc:
        answer = {"refused": str(exc)}
    except MemoryError:
        megabytes = resource.getrlimit(resource.RLIMIT_AS)[0] >> 20
        answer = {"refused": f"can't be read: it needs more than {megabytes} MB of memory."}
    except RecursionError:
        answer = {"refused": "can't be read: it is nested too deeply."}
    sys.stdout.write("\\n" + job["mark"] + json.dumps(answer))
    sys.stdout.flush()
    os._exit(0)  # taking a huge object down isn't worth the time
main()
"""


@cache
def text_of_module(package: str, file: str) -> str:
    """The text of a module of ours, to be sent into the sandbox.

    Args:
        package: For example `allotrope.graphs.work.sources.reading`.
        file: The module's file name.
    """
    return package_files(package).joinpath(file).read_text(encoding="utf-8")


def documents_of(raw: bytes, kind: str, *, name: str) -> list[dict[str, Any]]:
    """The texts of a PDF, DOCX or HTML file.

    Args:
        raw: The file.
        kind: `.pdf`, `.docx` or `.html`; HTML as UTF-8.
        name: Its name, for messages.

    Returns:
        `text`, and `page` (from 0) and `title` where there are any.

    Raises:
        InputError: It is broken, protected, or needs more than it may have.
    """
    library = {".pdf": "pypdf", ".docx": "mammoth"}.get(kind)
    if library is not None:
        from importlib.util import find_spec

        from allotrope.support.extras import install

        if find_spec(library) is None:
            raise InputError(
                f"Reading {name} needs a library that isn't installed: {library}.",
                hint=f"Install it with: {install('research')}",
            )
    with converted(
        raw,
        {"kind": kind},
        program=text_of_module("allotrope.graphs.work.sources.reading", "converter.py"),
        name=name,
        packages=(library, "cryptography", "cobble") if library else (),
        modules={"visible.py": text_of_module("allotrope.graphs.work.sources.reading", "html.py")},
    ) as (_, result):
        found: list[dict[str, Any]] = json.load(result)
    return found
