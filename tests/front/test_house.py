"""The layout of the package: what may not creep back in."""

import importlib
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

from allotrope.support.moved import MODULES

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "allotrope"
PAGE = ROOT / "docs" / "ARCHITECTURE.md"


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """Which module imports which, also inside functions; without those for annotations alone."""
    graph = grimp.build_graph("allotrope", cache_dir=None, exclude_type_checking_imports=True)
    return {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}


def circle(imports: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle; empty where there are none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def test_no_modules_import_each_other_in_a_circle(imports: dict[str, set[str]]) -> None:
    assert not circle(imports)


def test_a_circle_is_noticed(imports: dict[str, set[str]]) -> None:
    imports = {**imports, "allotrope.exceptions": {"allotrope.models.failures.errors"}}
    assert {"allotrope.exceptions", "allotrope.models.failures.errors"} <= set(circle(imports))


def folders() -> list[Path]:
    """The package and every folder of it; those at the top are reached by links."""
    found, waiting = [], [PACKAGE]
    while waiting:
        folder = waiting.pop()
        found.append(folder)
        waiting += [one for one in folder.iterdir() if (one / "__init__.py").is_file()]
    return found


def modules(folder: Path) -> list[str]:
    return [path.stem for path in folder.glob("*.py") if path.stem != "__init__"]


def test_a_folder_has_at_most_twelve_modules() -> None:
    assert not {str(one): len(modules(one)) for one in folders() if len(modules(one)) > 12}


def test_at_most_five_modules_lie_outside_a_folder() -> None:
    assert len(modules(PACKAGE)) <= 5


def test_the_page_on_the_architecture_names_files_that_exist() -> None:
    text = PAGE.read_text(encoding="utf-8")
    tops = "agents|graphs|prompts|memory|models|usage|experiments"
    named = re.findall(r"`((?:[a-z_]+/)+(?:[\w]+\.\w+)?)`", text)
    assert len(named) > 50
    missing = [
        name for name in named if not any((base / name).exists() for base in (ROOT, PACKAGE))
    ]
    assert not missing
    assert all(re.search(rf"\b{top}/", text) for top in tops.split("|"))


def test_the_glossary_has_at_most_forty_terms() -> None:
    words = PAGE.read_text(encoding="utf-8").split("## Words")[1]
    assert 20 <= words.count("\n| ") - 1 <= 40


def test_a_turn_enters_no_more_files_than_before() -> None:
    """`python tests/walk.py` shows which; the figures may only fall."""
    code = (
        "import walk; found = walk.walk()\n"
        "took = {'files': len(found), 'moves': found.total()}\n"
        "assert all(took[name] <= most for name, most in walk.MOST.items()), took"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT / "tests", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("old", sorted(MODULES))
def test_a_module_that_has_moved_is_found_under_its_old_name(old: str) -> None:
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=f"{re.escape(old)} is .* now"):
        found = importlib.import_module(old)
    new = importlib.import_module(MODULES[old])
    assert {name for name in vars(new) if not name.startswith("__")} <= set(vars(found))


def test_a_name_that_moved_into_a_package_is_found() -> None:
    with pytest.warns(DeprecationWarning, match=r"steps\.steps\.Ask now"):
        from allotrope.graphs.steps import Ask
    from allotrope.graphs.steps.steps import Ask as New

    assert Ask is New
    with pytest.raises(ImportError):
        from allotrope.memory.tokens import nobody  # noqa: F401


def test_a_class_name_occurs_once() -> None:
    """But for what `allotrope.testing` offers under the names that tests have used so far."""
    names: dict[str, list[str]] = {}
    for folder in folders():
        for path in folder.glob("*.py"):
            for name in re.findall(r"^class (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE):
                names.setdefault(name, []).append(str(path.relative_to(PACKAGE)))
    twice = {
        name: places
        for name, places in names.items()
        if len([one for one in places if not one.startswith("testing/")]) > 1
    }
    assert not twice
