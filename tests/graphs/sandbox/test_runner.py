"""A run says what happened, and never that tests passed when they didn't."""

import asyncio
import selectors
import subprocess
import sys
import threading
import time

import pytest

from allotrope.exceptions import InputError, StoreError
from allotrope.graphs.work.sandbox import runner
from allotrope.graphs.work.sandbox.backends import local
from allotrope.graphs.work.sandbox.outcome import MAX_FILES
from allotrope.graphs.work.sandbox.runner import (
    Isolation,
    Limits,
    arun_tests,
    run_script,
    run_tests,
)
from allotrope.graphs.work.sandbox.walls import launcher

GOOD = "def add(a, b):\n    return a + b\n"
TEST = "from add import add\n\ndef test_add():\n    assert add(1, 2) == 3\n"
LIMITS = Limits(wall_s=10)


def test_passing_tests():
    outcome = run_tests({"add.py": GOOD, "test_add.py": TEST}, limits=LIMITS)
    assert (outcome.status, outcome.passed, outcome.failed) == ("ok", 1, 0)


def test_failing_tests_show_why():
    outcome = run_tests({"add.py": GOOD.replace("+", "-"), "test_add.py": TEST}, limits=LIMITS)
    assert (outcome.status, outcome.passed, outcome.failed) == ("failed", 0, 1)
    assert "assert" in outcome.output


@pytest.mark.parametrize(
    ("test", "status"),
    [
        ("x = 1\n", "no_tests"),
        ("def test_a(:\n", "failed"),
        ("import nothing_like_this\n", "failed"),
        ("import os\nos._exit(0)\n", "unfinished"),
        ("def test_a():\n    print('1 passed')\n    import os; os._exit(0)\n", "unfinished"),
        ("import sys\nprint('3 passed')\nsys.exit(0)\n", "failed"),
        ("import pytest\n@pytest.mark.skip\ndef test_a(): pass\n", "no_tests"),
        (
            "import unittest\nclass T(unittest.TestCase):\n    def test_a(self): self.fail()\n",
            "failed",
        ),
        ("import unittest\nclass T(unittest.TestCase):\n    def test_a(self): pass\n", "ok"),
        ("import os\nos.write(3, b'{}')\ndef test_a(): assert 0\n", "failed"),
    ],
)
def test_never_ok_unless_tests_ran_and_passed(test, status):
    assert run_tests({"test_x.py": test}, limits=LIMITS).status == status


@pytest.mark.parametrize(("wrong", "status"), [("", "ok"), ("not ", "failed")])
def test_without_pytest_unittest_runs_the_same_files(wrong, status, monkeypatch):
    text = runner.bootstrap.TESTS.replace("import pytest", "raise ImportError")
    monkeypatch.setattr(runner.bootstrap, "TESTS", text)
    files = {"add.py": GOOD, "test_add.py": TEST.replace("assert ", f"assert {wrong}")}
    outcome = run_tests(files, limits=LIMITS)
    assert outcome.status == status
    assert outcome.passed + outcome.failed == 1


def test_a_script_and_its_exit_code():
    files = {
        "main.py": "import sys, helper; print(helper.X, 'ä'); sys.exit(3)",
        "helper.py": "X = 5",
    }
    outcome = run_script(files, "main.py", limits=LIMITS)
    assert (outcome.status, outcome.exit_code, outcome.output) == ("failed", 3, "5 ä\n")
    assert outcome.isolation.describe()


@pytest.mark.parametrize(
    "name", ["/etc/x", "../x", "a/../../x", ".ssh/x", "a/.git/x", "", "a\\b", "x\n", "x" * 121]
)
def test_file_names_stay_inside(name):
    with pytest.raises(InputError):
        run_tests({name: ""})


def test_too_much_or_nothing_to_run():
    for files in ({}, {f"x{n}": "" for n in range(MAX_FILES + 1)}, {"x": "x" * 1_000_001}):
        with pytest.raises(InputError):
            run_tests(files)
    with pytest.raises(InputError):
        run_script({"a.py": ""}, "b.py")


def test_cancelling_ends_the_run():
    cancel = threading.Event()
    threading.Timer(0.3, cancel.set).start()
    outcome = run_script(
        {"a.py": "import time; time.sleep(60)"}, "a.py", limits=LIMITS, cancel=cancel
    )
    assert outcome.status == "cancelled"


async def test_async_runs_and_is_cancelled():
    outcome = await arun_tests({"test_a.py": "def test_a(): pass"}, limits=LIMITS)
    assert outcome.status == "ok"
    task = asyncio.create_task(arun_tests({"test_a.py": "while True: pass"}, limits=LIMITS))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_without_namespaces_it_says_so():
    outcome = run_script({"a.py": "print(1)"}, "a.py", limits=LIMITS, walls=["none"])
    assert outcome.status == "ok"
    assert not outcome.isolation.complete
    assert outcome.isolation.describe() == "This machine can't cut code off from: files, processes."
    assert "cut off" in Isolation(True, True, True).describe()


def test_a_broken_launcher_is_an_error_not_a_result(tmp_path, monkeypatch):
    broken = tmp_path / "launcher.py"
    broken.write_text("raise SystemExit(1)")
    monkeypatch.setattr(launcher, "__file__", str(broken))
    with pytest.raises(StoreError, match="can't be started"):
        run_script({"a.py": ""}, "a.py", limits=LIMITS)


def test_a_wall_that_cant_be_built_gives_way_to_another_wall_only(monkeypatch):
    """As in a container that forbids mounts: the launcher says that it is broken."""
    monkeypatch.setattr(local, "readable", lambda packages: (["/etc/passwd", "/etc/passwd"], []))
    with pytest.raises(StoreError, match="can't be started") as refused:
        run_script({"a.py": "print(1)"}, "a.py", limits=LIMITS, walls=["namespaces"])
    assert "i-accept-that-code-can-read-my-files" in str(refused.value.hint)
    bare = run_script({"a.py": "print(1)"}, "a.py", limits=LIMITS, walls=["namespaces", "none"])
    assert bare.isolation.by == "none"


def test_code_is_refused_where_no_wall_can_be_built(monkeypatch):
    with pytest.raises(StoreError, match="isn't run here") as refused:
        run_script({"a.py": "print(1)"}, "a.py", limits=LIMITS, walls=[])
    assert refused.value.hint


def test_the_launcher_needs_only_the_standard_library():
    code = f"import runpy; runpy.run_path({launcher.__file__!r})"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_an_interpreter_called_by_a_roundabout_path(tmp_path, monkeypatch):
    """As `cd docs && ../.venv/bin/python` does: the folder on the way isn't there inside."""
    around = f"{tmp_path}/{'../' * (len(tmp_path.parts) - 1)}{sys.executable[1:]}"
    monkeypatch.setattr(sys, "executable", around)
    outcome = run_tests({"test_a.py": "def test_a(): pass\n"})
    assert (outcome.status, outcome.passed) == ("ok", 1)


def test_output_is_whole_when_the_machine_stalls(monkeypatch):
    """Code that ends while we are held up has its output still in the pipe."""
    select = selectors.DefaultSelector.select

    def stalling(self, timeout=None):
        ready = select(self, 0)
        time.sleep(1.0)
        return ready

    monkeypatch.setattr(selectors.DefaultSelector, "select", stalling)
    outcome = run_script({"a.py": "print('said')"}, "a.py", limits=Limits(wall_s=30))
    assert (outcome.status, outcome.output) == ("ok", "said\n")
