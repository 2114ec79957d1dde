"""What a repair takes from tests is found; what it adds is let be."""

import pytest

from allotrope.graphs.work.sandbox.proof.frozen import plain_support, taken_away

FIRST = '''import pytest
from solution import f

WANTED = 3


@pytest.mark.parametrize("x", [1, 2])
def test_a(x):
    """Words."""
    assert f(x) == WANTED


class TestB:
    def test_b(self):
        got = f(1)
        assert got == 3
'''


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("assert got == 3", "assert got == 4", "`TestB.test_b` was changed"),
        ("assert got == 3", "pass", "`TestB.test_b` was changed"),
        ("assert got == 3", "assert got == 3 or True", "`TestB.test_b` was changed"),
        ("got = f(1)", "got = 3", "`TestB.test_b` was changed"),
        ("got = f(1)", "return\n        got = f(1)", "`TestB.test_b` was changed"),
        ("got = f(1)", "got = f(1)\n        assert (got := 3)", "`TestB.test_b` was changed"),
        ("test_b", "check_b", "`TestB.test_b` was removed"),
        ("class TestB", "class B", "`TestB` was removed"),
        ("WANTED = 3", "WANTED = 4", "`WANTED = 3` was changed"),
        ("[1, 2]", "[1]", "`test_a` was changed"),
        ("class TestB:", "@pytest.mark.skip\nclass TestB:", "`TestB` was changed"),
        ("class TestB", "def test_a():\n    pass\n\n\nclass TestB", "twice"),
        ("WANTED = 3", "WANTED = 3\npytestmark = pytest.mark.skip", "`pytestmark"),
        ("WANTED = 3", "WANTED = 3\npytest_plugins = ['x']", "`pytest_plugins"),
        ("WANTED = 3", "WANTED = 3\nf.__code__ = g.__code__", "was added"),
        ("WANTED = 3", "WANTED = 3\nf = lambda x: 3\nWANTED = 4", "was added"),
        (
            "class TestB",
            "@pytest.fixture(autouse=True)\ndef quiet():\n    yield\n\n\nclass TestB",
            "takes part in every test",
        ),
        (FIRST, "def (", "no Python"),
    ],
)
def test_taken_away(old: str, new: str, words: str) -> None:
    found = taken_away({"test_s.py": FIRST}, {"test_s.py": FIRST.replace(old, new)})
    assert words in " ".join(found), found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("assert got == 3", "assert got == 3\n        assert f(2) == 3"),
        ("import pytest", "import math\nimport pytest"),
        ("class TestB", "def test_more():\n    assert f(5) == 3\n\n\nclass TestB"),
        ("class TestB:", "class TestB:\n    def test_c(self):\n        assert f(9) == 3\n"),
        ("WANTED = 3", "WANTED = 3\nMORE = [1, 2]"),
        ('"""Words."""', '"""Other words."""'),
        ("def test_a(x):", "def test_a(x: int) -> None:  # typed"),
    ],
)
def test_added(old: str, new: str) -> None:
    assert taken_away({"test_s.py": FIRST}, {"test_s.py": FIRST.replace(old, new)}) == []


def test_files() -> None:
    assert taken_away({"test_s.py": FIRST}, {}) == ["`test_s.py` was removed."]
    hook = "def pytest_runtest_makereport(item, call): ...\n"
    assert "was added" in taken_away({}, {"conftest.py": hook})[0]
    assert taken_away({}, {"test_more.py": FIRST}) == []
    assert taken_away({"test_s.py": "def ("}, {"test_s.py": FIRST}) == []


def test_plain_support() -> None:
    fixture = "import pytest\nX = 1\n\n@pytest.fixture\ndef rows():\n    return [X]\n"
    assert plain_support(fixture)
    for text in (
        fixture.replace("fixture\n", "fixture(autouse=True)\n"),
        fixture + "def pytest_configure(config): ...\n",
        fixture + "import _pytest\n",
        fixture + "X.y = 2\n",
        fixture + "collect_ignore = ['a']\n",
        "def (",
    ):
        assert not plain_support(text)
