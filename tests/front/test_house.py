"""The layout of the package: what may not creep back in."""

from graphlib import CycleError, TopologicalSorter

import grimp
import pytest


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
