"""Green tests are put to the proof: what makes them green must be the code."""

import ast
import contextlib
import datetime

import pytest

from allotrope.graphs.work.sandbox import runner
from allotrope.graphs.work.sandbox.proof import breaking, frozen
from allotrope.graphs.work.sandbox.proof.proof import GreenTests, Proof, prove
from allotrope.graphs.work.sandbox.proof.targets import (
    answers_written_in,
    asks_for_the_date,
    depends_on_hashes,
    knows_of_tests,
    targets,
)
from allotrope.graphs.work.sandbox.runner import Limits, LocalBackend, run_tests

LIMITS = Limits(wall_s=15)
CODE = "def add(a, b):\n    return a + b\n"
TEST = "from solution import add\n\ndef test_add():\n    assert add(1, 2) == 3\n"


def proof_of(code: str, test: str, **more: str) -> Proof:
    files = {"solution.py": code, "test_solution.py": test, **more}
    outcome = run_tests(files, limits=LIMITS)
    while outcome.status != "ok" and "random.random()" in test:
        outcome = run_tests(files, limits=LIMITS)  # until chance lets them pass
    assert outcome.status == "ok", outcome.output
    left = (outcome.facts or {}).get("left", ())
    green = GreenTests(files, {}, frozen.tests_in(files), skipped=left)
    return prove(green, LocalBackend(), limits=LIMITS)


def test_good_tests_hold() -> None:
    proof = proof_of(CODE, TEST)
    assert proof.holds, proof
    assert proof.runs > 5
    assert proof_of(f"import random\n{CODE}", TEST).runs > proof.runs
    assert proof.broken == 1


@pytest.mark.parametrize(
    ("test", "words"),
    [
        ("try:\n        assert add(1, 2) == 4\n    except AssertionError: pass", "hides"),
        ("try:\n        assert add(1, 2) == 3\n    except Exception: pass", "No test notices"),
        ("with pytest.raises(Exception):\n        assert add(1, 2) == 4", "hides"),
        ("assert isinstance(add(1, 2), int)", "No test checks"),
        ("assert add(1, 2) == add(1, 2)", "No test notices"),
        ("assert add", "No test calls"),
        ("assert add(1, 2) == pytest.approx(3, abs=99)", "No test checks"),
        ("if random.random() < 0.4: assert add(1, 2) == 4", "tests fail"),
        ("seen.append(1); assert add(1, 2) == 3 and len(seen) == 1", ""),
    ],
)
def test_what_green_tests_hide(test: str, words: str) -> None:
    code = (
        f"import random, pytest\nfrom solution import add\nseen = []\ndef test_it():\n    {test}\n"
    )
    proof = proof_of(CODE, code)
    assert proof.holds is not bool(words)
    assert words in " ".join(proof.problems)


def test_another_order_of_tests_or_of_sets() -> None:
    code = "_seen = []\ndef count(x):\n    _seen.append(x)\n    return len(_seen)\n"
    tests = "from solution import count\n" + "".join(
        f"def test_{n}():\n    assert count({n}) == {n}\n" for n in (1, 2)
    )
    assert "in another order" in proof_of(code, tests).problems[0]
    code = "def first(words):\n    return next(iter(set(words)))\n"
    test = "from solution import first\ndef test_it():\n    assert first(['x', 'y']) == 'x'\n"
    proof = None
    while proof is None:  # the first run has a hash seed of its own
        if run_tests({"solution.py": code, "test_a.py": test}, limits=LIMITS).status == "ok":
            with contextlib.suppress(AssertionError):
                proof = proof_of(code, test)
    assert proof.problems
    assert depends_on_hashes({"a.py": code})
    assert not depends_on_hashes({"a.py": CODE})


def test_skipped_tests_are_said_and_helpers_may_be_left_out() -> None:
    skipped = (
        TEST + "\nimport pytest\n@pytest.mark.xfail\ndef test_more():\n    assert add(1, 1) == 3\n"
    )
    assert "`test_more`" in " ".join(proof_of(CODE, skipped).problems)
    code = CODE + "\ndef _helper():\n    return 1\n\ndef main():\n    print(add(1, 2))\n"
    proof = proof_of(code + "\nif __name__ == '__main__':\n    main()\n", TEST)
    assert proof.holds
    assert "main" in proof.remarks[0]
    assert (
        "No test calls `sub`" in proof_of(CODE + "def sub(a, b):\n    return 1\n", TEST).problems[0]
    )


def test_what_unittest_asserts_is_heard_too() -> None:
    tests = (
        "import unittest\nfrom solution import add\n\nclass TestAdd(unittest.TestCase):\n"
        "    def test_add(self):\n        self.assertEqual(add(1, 2), 3)\n        try:\n"
        "            self.assertEqual(add(1, 1), 3)\n        except AssertionError:\n"
        "            pass\n"
    )
    assert "hides that: 2 != 3" in " ".join(proof_of(CODE, tests).problems)


def test_code_in_the_tests_alone_proves_nothing() -> None:
    files = {"test_a.py": CODE + TEST.partition("\n")[2]}
    green = GreenTests(files, {}, frozen.tests_in(files))
    assert "no code apart" in prove(green, LocalBackend(), limits=LIMITS).problems[0]


def test_a_value_that_equals_everything() -> None:
    code = (
        "class Any(int):\n    def __eq__(self, other): return True\n    __hash__ = int.__hash__\n"
        "def add(a, b):\n    return Any(7)\n"
    )
    assert "equals everything" in " ".join(proof_of(code, TEST).problems)


def test_without_pytest_the_proof_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((runner.bootstrap, "TESTS"),):
        monkeypatch.setattr(
            module, name, getattr(module, name).replace("import pytest", "raise ImportError")
        )
    from allotrope.graphs.work.sandbox.proof import proof as module

    text = module._program().replace("import pytest\n", "raise ImportError\n")
    text = text.replace('["pytest", *', "[*")
    monkeypatch.setattr(module, "_program", lambda: text)
    assert proof_of(CODE, TEST).holds
    weak = "from solution import add\ndef test_it():\n    add(1, 2)\n"
    assert "No test notices" in proof_of(CODE, weak).problems[0]


@pytest.mark.parametrize(
    "value", [True, 3, 0, 2.5, "a", "", b"x", [1], [], (1, 2), {"a": 1}, {1}, None]
)
def test_other_values_differ(value: object) -> None:
    assert breaking.other(value) != value
    assert breaking.far(value) != value


def test_breaking_leaves_functions_within_alone() -> None:
    text = "def outer(x):\n    def inner():\n        return x\n    return inner\n"
    tree = ast.unparse(ast.parse(breaking.broken(text, "outer", 1, "values")))
    assert tree.count("__broken__") == 1
    assert "return x" in tree
    assert "yield" in breaking.broken("def f():\n    yield 1\n", "f", 1, "nothing")


def test_targets_are_what_changed() -> None:
    before = {"a.py": "def f():\n    return 1\n\ndef g():\n    return 2\n"}
    after = {"a.py": "# moved\ndef f():\n    return 1\n\ndef g():\n    return 3\n"}
    assert [t.name for t in targets(after, before)] == ["g"]
    assert {t.name for t in targets(after, {})} == {"f", "g"}
    stub = "class A:\n    def f(self): ...\n    def g(self):\n        raise NotImplementedError\n"
    assert [t.name for t in targets({"a.py": stub}, {})] == []
    assert [t.name for t in targets({"a.py": "print(1)\n", "b.py": "X = 1\n"}, {})] == ["", "X"]


def test_code_that_looks_for_tests() -> None:
    for code in (
        "import sys\nif 'pytest' in sys.modules: x = 1\n",
        "import os\nx = os.environ.get('PYTEST_CURRENT_TEST')\n",
        "import inspect\nx = inspect.stack()\n",
        "import _pytest.python\n",
    ):
        assert knows_of_tests({"a.py": code}) == ["a.py"]
    assert (
        knows_of_tests({"a.py": CODE, "test_a.py": "import pytest\n", "b.py": "'pytest'\n"}) == []
    )


def test_answers_written_into_code() -> None:
    test = "from solution import f\ndef test_f():\n    assert f(3) == 6\n    assert f(4) == 24\n"
    table = "def f(n):\n    return {3: 6, 4: 24}[n]\n"
    three = "def f(n):\n    if n == 3:\n        return 6\n"
    chain = f"{three}    if n == 4:\n        return 24\n    return 0\n"
    honest = f"{three}    if n == 0:\n        return 1\n    return n * f(n - 1)\n"
    for code, found in ((table, ["s.py::f"]), (chain, ["s.py::f"]), (honest, [])):
        assert answers_written_in({"s.py": code, "test_s.py": test}) == found


def test_the_program_is_the_text_of_its_files() -> None:
    from allotrope.graphs.work.sandbox.proof import proof as module

    compile(module._program(), "program", "exec")
    assert len(module._program()) < 100_000, "it is one argument of a command line"
    assert "def suite" in module._program()


BOMB = (
    "import datetime\ndef add(a, b):\n"
    "    return a + b if datetime.date.today().year < {year} else 0\n"
)


def test_a_time_bomb_goes_off() -> None:
    """Three years from now: 1,100 days."""
    this = datetime.date.today().year
    proof = proof_of(BOMB.format(year=this + 2), TEST)
    assert "days from now, tests fail" in " ".join(proof.problems)
    assert proof_of(BOMB.format(year=this + 99), TEST).holds


def test_honest_code_with_dates_holds_on_another_day() -> None:
    code = (
        "import time\nfrom datetime import UTC, date, datetime, timedelta\n"
        "def age(born, today=None):\n    today = today or date.today()\n"
        "    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))\n"
        "def stamp(moment=None):\n    return (moment or datetime.now(UTC)).isoformat()\n"
        "def fresh(at, seconds=60):\n    return 0 <= time.time() - at < seconds\n"
    )
    test = (
        "import time\nfrom datetime import UTC, date, datetime, timedelta\n"
        "from solution import age, fresh, stamp\n"
        "def test_age():\n    assert age(date(1990, 5, 15), date(2026, 12, 1)) == 36\n"
        "    assert age(date.today() - timedelta(days=800)) == 2\n"
        "    assert isinstance(date.today(), date)\n"
        "    assert isinstance(datetime.now(), date)\n"
        "def test_stamp():\n"
        "    assert stamp(datetime(2026, 1, 2, tzinfo=UTC)).startswith('2026-01-02')\n"
        "    assert datetime.fromisoformat(stamp()) <= datetime.now(UTC)\n"
        "def test_fresh():\n    assert fresh(time.time())\n    assert not fresh(time.time() - 90)\n"
        "    assert time.strftime('%Y') == str(date.today().year) == str(datetime.today().year)\n"
        "    assert time.gmtime(0).tm_year == 1970\n"
    )
    proof = proof_of(code, test)
    assert proof.holds, proof


def test_what_cant_be_put_forward_isnt() -> None:
    assert asks_for_the_date({"a.py": "import datetime"})
    assert not asks_for_the_date({"a.py": "import math"})
    assert not asks_for_the_date({"a.py": "import time, os\nos.path.getmtime('x')"})
    assert not asks_for_the_date({"a.py": "import datetime, pydantic"})


def test_a_function_called_run_is_no_start_of_a_program() -> None:
    files = {"a.py": "def run(program):\n    return 1\ndef app():\n    return 2\n"}
    assert {one.name: one.excused for one in targets(files, {})} == {"run": False, "app": True}


@pytest.mark.parametrize(
    ("code", "looks"),
    [
        ("import sys\nx = 'test' in ' '.join(sys.modules)", True),
        ("import sys\nx = 'pytest' in getattr(sys, 'modules')", True),
        ("from sys import modules\nx = any('pytest' in m for m in modules)", True),
        ("import gc\nx = [o for o in gc.get_objects() if type(o).__name__ == '_pytest']", True),
        ("import sys\nx = sys.argv[1] == 'test'", False),
        ("import sys\nx = getattr(sys, 'frozen', False)", False),
        ("import sys\nx = sys.modules[__name__]\n'a test of words'", False),
        ("import subprocess\nsubprocess.run(['pytest'])", False),
    ],
)
def test_ways_to_look_for_tests(code: str, looks: bool) -> None:
    assert bool(knows_of_tests({"a.py": code})) is looks


def test_a_setter_is_broken_apart_from_its_getter() -> None:
    code = (
        "class Temp:\n    _c = 0\n    @property\n    def c(self):\n        return self._c\n"
        "    @c.setter\n    def c(self, value):\n        self._c = 2 * value\n"
    )
    test = "from solution import Temp\ndef test_c():\n    assert Temp().c == 0\n"
    assert "No test calls `Temp.c.setter`" in " ".join(proof_of(code, test).problems)
    empty = {"a.py": code.replace("self._c = 2 * value", "pass")}
    assert {one.name for one in targets(empty, {})} == {"Temp.c", "Temp.c.setter"}
    more = "def test_set():\n    t = Temp()\n    t.c = 2\n    assert t.c == 4\n"
    proof = proof_of(code, test + more)
    assert proof.holds, proof
    assert proof.broken == 2
