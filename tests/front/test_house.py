"""The layout of the package: what may not creep back in."""

import ast
import contextlib
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


OF_THE_WHOLE = {
    "front": "the package as a whole: its doors, its pages, its layout",
    "security": "attacks on all of it",
    "examples": "the folder examples/",
}
"""Folders of tests that stand for no package."""


def folders_of_no_package(tests: Path) -> list[str]:
    """Folders with tests that are named like no package; `graphs/work` is written `graphs`."""
    of = {str(path.parent.relative_to(tests)) for path in tests.rglob("test_*.py")}
    return sorted(
        one
        for one in of
        if one.split("/")[0] not in OF_THE_WHOLE
        and not (PACKAGE / one).is_dir()
        and not (one.startswith("graphs/") and (PACKAGE / "graphs/work" / one[7:]).is_dir())
    )


def test_folders_of_tests_are_those_of_the_package() -> None:
    assert not folders_of_no_package(ROOT / "tests")


def test_a_folder_of_no_package_is_noticed(tmp_path: Path) -> None:
    for name in ("models/breaker", "models/doors", "rooms", "graphs/tables", "front"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "test_it.py").touch()
    assert folders_of_no_package(tmp_path) == ["models/doors", "rooms"]


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


def test_a_module_beside_names_that_moved_is_imported_first() -> None:
    code = "import allotrope.usage.budgets.guard"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


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


# Documented under a leading underscore, or standing in a protocol of Python's own.
PUBLIC = {
    "_exit": "os._exit is documented",
    "_mapping": "SQLAlchemy documents Row._mapping",
    "_fields": "namedtuple's documented fields",
    "_asdict": "namedtuple's documented method",
    "_replace": "namedtuple's documented method",
}
HOOKS = {"_generate", "_agenerate", "_stream", "_astream", "_llm_type", "_identifying_params"}
"""What LangChain asks authors of chat models to write."""


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def sources() -> dict[Path, ast.Module]:
    return {path: parsed(path) for folder in folders() for path in folder.glob("*.py")}


def parsed(path: Path) -> ast.Module:
    """A module's tree. Python 3.11 counts its depth for all threads together (cpython#106905)."""
    for _ in range(20):
        with contextlib.suppress(SystemError):
            return ast.parse(path.read_text(encoding="utf-8"))
    raise AssertionError(f"{path} can't be parsed")


def private_uses(trees: dict[Path, ast.Module]) -> list[str]:
    """Private names of others: attributes nobody here defines, imports, and dunder hacks."""
    ours: set[str] = set()
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                ours.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                # what is set on others is theirs
                if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
                    ours.add(node.attr)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                ours.add(node.id)
    found = []
    for path, tree in trees.items():
        for node in ast.walk(tree):
            used: list[str] = []
            if isinstance(node, ast.Attribute):
                name, own = node.attr, node.attr in ours
                parent = isinstance(node.value, ast.Call) and "super" in ast.dump(node.value.func)
                if private(name) and (not own or (parent and name not in HOOKS)):
                    used.append(name)
                if name in ("__notes__", "__await__", "var_child_runnable_config"):
                    used.append(name)
            elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith(
                "allotrope"
            ):
                names = [*(node.module or "").split("."), *(one.name for one in node.names)]
                used += [name for name in names if private(name)]
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in (
                "getattr", "hasattr", "setattr",
            ):  # fmt: skip
                name = node.args[1].value if isinstance(node.args[1], ast.Constant) else ""
                if (private(name) and name not in ours) or name == "steps__":
                    used.append(name)
            found += [f"{path.relative_to(PACKAGE)}:{node.lineno} {name}" for name in used]
    return found


def test_private_parts_of_others_are_used_in_one_folder() -> None:
    """Each there has its reason, its loss and a canary (`tests/front/test_compat.py`)."""
    trees = sources()
    found = [use for use in private_uses(trees) if not use.startswith("support/compat/")]
    assert not found, "\n".join(found)


def test_a_private_use_is_noticed() -> None:
    code = (
        "from httpx._client import Client\n"
        "class Mine(Base):\n"
        "    def _connect(self):\n"
        "        return super()._connect()\n"
        "x = client._transport\n"
        "y = getattr(chain, 'steps__', None)\n"
        "z = error.__notes__\n"
    )
    found = private_uses({PACKAGE / "some.py": ast.parse(code)})
    assert {use.split()[1] for use in found} == {
        "_client", "_connect", "_transport", "steps__", "__notes__",
    }  # fmt: skip


def test_each_private_part_has_its_reason_and_its_loss() -> None:
    for path in (PACKAGE / "support" / "compat").glob("*.py"):
        if path.stem != "__init__":
            text = path.read_text(encoding="utf-8")
            assert "Reason: " in text, path
            assert "Without it:" in text, path
