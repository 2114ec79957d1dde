"""Code can't claim that tests passed: not by what it prints, writes, patches or hooks into."""

import sys

import pytest

from allotrope.graphs.work.sandbox.runner import Limits, run_script, run_tests
from allotrope.graphs.work.sandbox.verdict import declared, judged

LIMITS = Limits(wall_s=20)
FAILING = "from solution import f\n\ndef test_f():\n    assert f() == 2\n"
HONEST = "def f():\n    return 1\n"

FORGERIES = {
    "words": "print('===== 42 passed in 0.01s =====')\n",
    "words and an end": "print('42 passed', flush=True)\nimport os; os._exit(0)\n",
    "every descriptor": """
import json, os
line = json.dumps({"secret": "x", "passed": 42, "failed": 0, "skipped": 0, "done": True,
                   "names": ["test_a.py::test_f"], "check": ["failed"]}).encode()
for number in range(3, 128):
    for text in (line, b"0" * 64 + b" " + line):
        try:
            os.write(number, text + b"\\n")
        except OSError:
            pass
os._exit(0)
""",
    "every word of the command line as the secret": """
import hashlib, hmac, json, os, sys
words = [*sys.argv, *sys.orig_argv, *os.environ.values()]
for name in ("cmdline", "environ"):
    try:
        words += open(f"/proc/self/{name}").read().split("\\0")
    except OSError:
        pass
for word in words:
    facts = {"passed": 42, "failed": 0, "skipped": 0, "done": True, "names": ["x::test_f"] * 42,
             "check": ["failed"]}
    text = json.dumps(facts)
    old = json.dumps({"secret": word, **facts})
    sign = hmac.new(word.encode(), text.encode(), hashlib.sha256).hexdigest()
    for number in range(3, 128):
        try:
            os.write(number, f"{old}\\n{sign} {text}\\n".encode())
        except OSError:
            pass
os._exit(0)
""",
    "what is left of the key's pipe": """
import hashlib, hmac, json, os
for number in range(3, 128):
    try:
        os.set_blocking(number, False)
        key = os.read(number, 32)
    except OSError:
        continue
    text = json.dumps({"passed": 1, "failed": 0, "skipped": 0, "names": ["x::test_f"],
                       "check": ["failed"]})
    sign = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    for other in range(3, 128):
        try:
            os.write(other, f"{sign} {text}\\n".encode())
        except OSError:
            pass
os._exit(0)
""",
    "the results of pytest": """
from _pytest.reports import TestReport
made = TestReport.from_item_and_call.__func__
def passed(cls, item, call):
    call.excinfo = None
    return made(cls, item, call)
TestReport.from_item_and_call = classmethod(passed)
""",
    "the calls of pytest": """
import _pytest.runner
made = _pytest.runner.CallInfo.from_call.__func__
def quiet(cls, func, when, reraise=None):
    def nothing():
        try:
            func()
        except BaseException:
            pass
    return made(cls, nothing, when, reraise)
_pytest.runner.CallInfo.from_call = classmethod(quiet)
""",
    "exit code": "import atexit, os\natexit.register(lambda: os._exit(0))\n",
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_in_the_solution(name: str) -> None:
    files = {"solution.py": FORGERIES[name] + HONEST, "test_a.py": FAILING}
    outcome = run_tests(files, limits=LIMITS)
    assert outcome.status != "ok", outcome.output
    assert outcome.passed == 0


HOOK = """
import pytest
@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    made = yield
    report = made.get_result()
    report.outcome = "passed"
    report.longrepr = None
"""


def test_forged_by_a_hook() -> None:
    """A `conftest.py` that turns failures into passes is the usual one."""
    files = {"solution.py": HONEST, "test_a.py": FAILING, "conftest.py": HOOK}
    outcome = run_tests(files, limits=LIMITS)
    assert outcome.status in ("forged", "failed")
    assert outcome.passed == 0


def test_a_hook_that_counts_by_itself_changes_nothing() -> None:
    hook = "def pytest_runtest_logreport(report):\n    report.outcome = 'passed'\n"
    files = {"solution.py": HONEST, "test_a.py": FAILING, "conftest.py": hook}
    assert run_tests(files, limits=LIMITS).passed == 0


@pytest.mark.parametrize(
    "found", [None, {"passed": 3, "failed": 0, "skipped": 0, "names": [], "check": ["failed"]}]
)
def test_passes_without_names_dont_count(found: dict[str, object] | None) -> None:
    status, counts = judged(0, found, {"test_a.py": FAILING})
    assert status in ("unfinished", "forged")
    assert counts["passed"] == 0


def test_names_are_those_in_the_text() -> None:
    files = {
        "test_a.py": "class TestX:\n    def test_a(self): pass\nasync def test_b(): pass\n",
        "broken.py": "def (",
        "notes.md": "def test_c(): pass",
    }
    assert declared(files) == {"test_a", "test_b"}


@pytest.mark.parametrize("wall", ["namespaces", "landlock", "none"])
def test_no_key_in_arguments_environment_or_files(wall: str) -> None:
    """The arguments of a run are numbers of descriptors, and the pipe of the key is closed."""
    code = (
        "import os, sys\nprint(sys.orig_argv[-3:], sorted(os.environ))\n"
        "open_ones = []\nfor n in range(3, 128):\n    try: os.fstat(n); open_ones.append(n)\n"
        "    except OSError: pass\nprint('open', len(open_ones))\n"
        "def test_x(): pass\n"
    )
    outcome = run_tests({"test_a.py": code + "assert 0\n"}, limits=LIMITS, walls=[wall])
    words = outcome.output.split("[", 1)[1].split("]")[0].replace("'", "").split(", ")
    assert all(len(word) < 6 for word in words), words


def test_only_what_is_needed_is_there_of_the_environment() -> None:
    """Our own code and other packages of the virtual environment can't be read."""
    if sys.prefix == sys.base_prefix:
        pytest.skip("without a virtual environment the packages lie among the system's")
    code = (
        "import importlib.util, os, sys\n"
        "for name in ('allotrope', 'langchain_core', 'openai', 'redis', 'cryptography'):\n"
        "    try:\n        found = importlib.util.find_spec(name) and __import__(name)\n"
        "    except ImportError:\n        found = None\n"
        "    print(name, bool(found))\n"
        "import pytest, numpy\nprint(os.path.exists(sys.prefix + '/bin/allotrope'))\n"
        "print(open(sys.prefix + '/.env').read() if os.path.exists(sys.prefix + '/.env') else '')\n"
    )
    for wall in ("namespaces", "landlock"):
        outcome = run_script({"a.py": code}, "a.py", limits=LIMITS, walls=[wall])
        if wall == "namespaces":
            assert outcome.status == "ok", outcome.output
        assert "allotrope True" not in outcome.output
        assert " True" not in outcome.output, outcome.output
