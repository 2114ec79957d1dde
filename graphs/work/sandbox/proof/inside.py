"""Runs tests again and again inside the sandbox, also on code that it breaks on purpose.

Its text is sent into the sandbox, behind that of `breaking.py`: standard library and pytest only.
Each run is a forked process of its own, so that nothing of one run is left for the next. The
process that forks never runs foreign code, and only it has the key that signs the report; a run
answers through a pipe of its own, with a word that stands in no argument and no file.
"""

import builtins
import hmac
import json
import os
import random
import select
import signal
import sys
import time
import unittest
from typing import Any, NoReturn

LEAST_REPEATS, REPEATING_S = 5, 4.0
"""Runs that are made where time allows; and seconds after which no more are begun."""

if __package__:  # in the sandbox the texts of these two stand before this one
    from allotrope.graphs.work.sandbox.proof.another_day import DAYS, put_forward
    from allotrope.graphs.work.sandbox.proof.breaking import (
        ASSERTED,
        BROKEN,
        REACHED,
        Failure,
        asserted,
        broken,
        equal_to_all,
        failed,
        far,
        listening,
        marked,
        other,
        reached,
    )


# --- one run of the tests ----------------------------------------------------------------------


def suite(order: str, stop: bool) -> "dict[str, Any]":
    """Runs all tests of the working folder in this process.

    Args:
        order: `as they stand`, `reversed` or a number to shuffle by.
        stop: Whether the first failure ends it.
    """
    try:
        import pytest
    except ImportError:
        return _with_unittest(order)
    outcomes: dict[str, str] = {}
    failures: dict[str, str] = {}

    class Outcomes:
        @pytest.hookimpl(tryfirst=True)
        def pytest_collection_modifyitems(self, items: "list[Any]") -> None:
            _ordered(items, order)

        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_runtest_makereport(self, item: Any, call: Any) -> Any:
            report = yield
            if report.when == "call" or report.outcome != "passed":
                if outcomes.get(item.nodeid) != "failed":
                    outcomes[item.nodeid] = report.outcome
                if report.outcome == "failed" and len(failures) < 3:
                    failures[item.nodeid] = str(report.longreprtext)[-600:]
            return report

        def pytest_collectreport(self, report: Any) -> None:
            if report.failed:
                outcomes[report.nodeid] = "failed"
                failures[report.nodeid] = str(report.longreprtext)[-600:]

    folder = os.getcwd()
    options = ["-q", f"--maxfail={1 if stop else 5}", "--tb=short", "--no-header"]
    options += ["-p", "no:cacheprovider", "--rootdir", folder, "--confcutdir", folder]
    code = pytest.main([*options, "-c", os.devnull, folder], plugins=[Outcomes()])
    values = list(outcomes.values())
    return {
        "green": int(code) == 0 and "failed" not in values and "passed" in values,
        "passed": values.count("passed"),
        "failures": failures,
    }


def _ordered(items: "list[Any]", order: str) -> None:
    if order == "reversed":
        items.reverse()
    elif order.isdigit():
        random.Random(int(order)).shuffle(items)  # noqa: S311 # an order, no secret


def _with_unittest(order: str) -> "dict[str, Any]":
    import glob
    import importlib.util
    import inspect

    tests: list[Any] = []
    try:
        for path in sorted(glob.glob("**/test_*.py", recursive=True)):
            spec = importlib.util.spec_from_file_location(os.path.basename(path)[:-3], path)
            module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
            spec.loader.exec_module(module)  # type: ignore[union-attr]
            for one in unittest.defaultTestLoader.loadTestsFromModule(module):
                tests.extend(one)  # type: ignore[arg-type] # suites of suites of tests
            for name, function in sorted(vars(module).items()):
                if name.startswith("test") and inspect.isfunction(function):
                    tests.append(unittest.FunctionTestCase(function, description=name))
    except Exception as exc:  # noqa: BLE001 # a module that can't be imported is a red run
        return {"green": False, "passed": 0, "failures": {"import": repr(exc)[-600:]}}
    _ordered(tests, order)
    result = unittest.TestResult()
    unittest.TestSuite(tests).run(result)
    bad = [*result.failures, *result.errors]
    ran = result.testsRun - len(bad) - len(result.skipped)
    failures = {str(test): text[-600:] for test, text in bad[:3]}
    return {"green": result.wasSuccessful() and ran > 0, "passed": ran, "failures": failures}


# --- runs in processes of their own ------------------------------------------------------------


def _answer(order: str, stop: bool, out: int, word: str, days: int = 0) -> NoReturn:
    """In the process of a run: its result, and no way back."""
    if days:
        put_forward(days)
    dump, write = json.dumps, os.write
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()
    folder = os.getcwd()
    sys.path[:0] = [folder, *([f"{folder}/src"] if os.path.isdir(f"{folder}/src") else [])]
    try:
        found = suite(order, stop)
    except BaseException as exc:  # noqa: BLE001 # SystemExit as well
        found = {"green": False, "passed": 0, "failures": {"run": repr(exc)[-600:]}}
    found.update(reached=sorted(reached), equal=equal_to_all[:1], swallowed=failed[:3])
    write(out, f"\n{word} {dump(found)}\n".encode())
    os._exit(0)


def one_run(
    order: str,
    *,
    limit_s: float,
    stop: bool = False,
    values: Any = None,
    seed: "int | None" = None,
    days: int = 0,
) -> "dict[str, Any]":
    """One run of the tests in a process of its own.

    Args:
        order: As for `suite`.
        limit_s: Seconds it may take; more counts as red.
        stop: Whether the first failure ends it.
        values: What `__broken__` does.
        seed: The hash seed of a new interpreter; None forks this one.
        days: How many days later than today it believes to run.
    """
    reader, writer = os.pipe()
    word = os.urandom(16).hex()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        os.setpgid(0, 0)
        # where the walls let nobody be killed, a run still ends by itself
        signal.setitimer(signal.ITIMER_REAL, limit_s + 0.5)
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        if seed is not None:
            _as_new_interpreter(order, writer, word, seed)
        builtins.__dict__[BROKEN] = values
        builtins.__dict__[REACHED] = reached.add
        builtins.__dict__[ASSERTED] = asserted
        unittest.TestCase.failureException = Failure
        _answer(order, stop, writer, word, days)
    os.close(writer)
    text, end = b"", time.monotonic() + limit_s
    while not text.rpartition(b"\n")[0].rpartition(b"\n")[2].startswith(word.encode()):
        ready, _, _ = select.select([reader], [], [], max(0.0, end - time.monotonic()))
        data = os.read(reader, 65_536) if ready else b""
        if not data or len(text) > 1_000_000:
            break
        text += data
    os.close(reader)
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
    os.waitpid(pid, 0)
    for line in text.split(b"\n"):
        said, _, found = line.partition(b" ")
        if said == word.encode():
            result: dict[str, Any] = json.loads(found)
            return result
    return {
        "green": False,
        "passed": 0,
        "failures": {},
        "reached": [],
        "equal": [],
        "swallowed": [],
    }


def _as_new_interpreter(order: str, writer: int, word: str, seed: int) -> NoReturn:
    program = sys.orig_argv[sys.orig_argv.index("-c") + 1]
    reader, other_end = os.pipe()
    os.write(other_end, word.encode())
    os.close(other_end)
    for number in (reader, writer):
        os.set_inheritable(number, True)
    flags = ["-s", "-P", "-B", "-c", program, "once", str(writer), str(reader), order]
    env = {**os.environ, "PYTHONHASHSEED": str(seed)}
    os.execve(sys.executable, [sys.executable, *flags], env)  # noqa: S606 # this very program


# --- all of it ---------------------------------------------------------------------------------


def _read(path: str) -> str:
    with open(path, encoding="utf-8", newline="") as file:
        return file.read()


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(text)


def prove(job: "dict[str, Any]") -> "dict[str, Any]":
    """Everything there is to tell.

    Args:
        job: `seconds`, `targets` (id to file, name, line and whether it gives values), `tests`
            (files), `seeds`, `repeats`, `shuffle`, `dates` (whether a later date may matter).
    """
    start = time.monotonic()
    end = start + job["seconds"]
    found: dict[str, Any] = {"runs": 0, "red": [], "targets": {}, "equal": [], "swallowed": []}

    def left() -> float:
        return float(end - time.monotonic())

    def again(how: str, order: str, seed: "int | None" = None, days: int = 0) -> bool:
        result = one_run(order, limit_s=max(0.1, left()), seed=seed, days=days)
        if not result["green"] and left() <= 0:
            return False
        found["runs"] += 1
        if not result["green"]:
            found["red"].append({"how": how, "failures": result["failures"]})
        return bool(result["green"])

    if not again("again", "as they stand"):
        return found
    each = time.monotonic() - start
    if job["shuffle"] and not again("order", "reversed"):
        return found
    if job["dates"] and not again("date", "as they stand", days=DAYS):
        return found
    _break_all(job, found, each, left)
    spent = left
    for seed in range(1, job["seeds"] + 1):
        if spent() < 2 * each + 0.5 or not again("seed", "as they stand", seed):
            break
    repeating = time.monotonic()
    while found["runs"] < job["repeats"] and spent() > 2 * each and not found["red"]:
        if found["runs"] >= LEAST_REPEATS and time.monotonic() - repeating > REPEATING_S:
            break
        shuffled = job["shuffle"] and found["runs"] % 2
        again("order", str(found["runs"])) if shuffled else again("again", "as they stand")
    return found


def _break_all(job: "dict[str, Any]", found: "dict[str, Any]", each: float, left: Any) -> None:
    """Breaks one function after the other, in a share of the time that leaves some for repeats."""
    targets = {key: tuple(value) for key, value in job["targets"].items()}
    limit_s = max(2.0, 5 * each)
    reserve = min(job["seconds"] / 4, 6 * each)
    called, found["swallowed"] = _listened(targets, job["tests"], limit_s)
    for key, (path, name, line, gives) in targets.items():
        if called is not None and key not in called:
            found["targets"][key] = "unreached"
            continue
        text = _read(path)
        found["targets"][key] = "untried"
        tries = [("values", other), ("values", far)] if gives else []
        for how, values in [*tries, ("nothing", None)]:
            if left() < reserve + each:
                break
            try:
                _write(path, broken(text, name, line, how))
            except (SyntaxError, ValueError, LookupError, RecursionError):
                break
            result = one_run("as they stand", limit_s=limit_s, stop=True, values=values)
            _write(path, text)
            found["equal"] += result["equal"]
            if not result["green"]:
                weak = gives and how == "nothing"
                found["targets"][key] = "weak" if weak else "noticed"
                break
            found["targets"][key] = "unnoticed"


def _listened(
    targets: "dict[str, Any]", tests: "list[str]", limit_s: float
) -> "tuple[set[str] | None, list[str]]":
    """Which targets any test calls (None where that can't be found out), and which assertions
    failed though their tests are green."""
    by_file: dict[str, list[tuple[str, str, int]]] = {}
    for key, (path, name, line, _) in targets.items():
        by_file.setdefault(path, []).append((key, name, line))
    texts = {path: _read(path) for path in [*by_file, *tests]}
    try:
        for path, inside in by_file.items():
            _write(path, marked(texts[path], inside))
        for path in tests:
            _write(path, listening(path, texts[path]))
        result = one_run("as they stand", limit_s=limit_s)
    except (SyntaxError, ValueError, LookupError, RecursionError):
        return None, []
    finally:
        for path, text in texts.items():
            _write(path, text)
    return ({*result["reached"]}, result["swallowed"]) if result["green"] else (None, [])


def main() -> None:
    """Reads the job, does it, and signs what it found."""
    if sys.argv[1] == "once":
        with os.fdopen(int(sys.argv[3]), "rb") as file:
            word = file.read().decode()
        _answer(sys.argv[4], False, int(sys.argv[2]), word)
    report, key, job = int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
    del sys.argv[1:]
    with os.fdopen(key, "rb") as file:
        sign = hmac.new(file.read(), digestmod="sha256")
    os.set_inheritable(report, False)
    for name in ["pytest", *job["warm"]]:  # before the folder is on the path, so never its files
        try:
            __import__(name)
        except ImportError:
            continue
    text = json.dumps(prove(job))
    sign.update(text.encode())
    os.write(report, f"\n{sign.hexdigest()} {text}\n".encode())


if __name__ == "__main__":
    main()
