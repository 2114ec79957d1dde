"""docs/contracts.md against `allotrope.contracts`, and both against what the modules write."""

import ast
import contextlib
import re
from pathlib import Path
from typing import get_type_hints

import pytest

from allotrope import contracts
from allotrope.contracts import Configurable, Event, Metadata, PromptAudit, Provenance

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "allotrope"
PAGE = (ROOT / "docs" / "contracts.md").read_text(encoding="utf-8")


def values(names: type) -> set[str]:
    return {value for name, value in vars(names).items() if name.isupper()}


def section(title: str) -> str:
    return re.split(r"^## ", PAGE.split(f"## {title}")[1], flags=re.MULTILINE)[0]


def test_the_page_has_each_key_of_a_replys_provenance() -> None:
    rows = re.findall(r"^\| (`.*?`) \|", section("Provenance"), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named == set(get_type_hints(Provenance))


@pytest.mark.parametrize(
    "shape", ["DegradedState", "Succession", "FailedModel", "SavedTokens", "SemanticMatch"]
)
def test_the_page_has_each_key_of_its_parts(shape: str) -> None:
    for key in get_type_hints(getattr(contracts, shape)):
        assert f'"{key}"' in section("Provenance"), key


def test_the_page_has_each_key_of_a_calls_metadata() -> None:
    assert set(re.findall(r"`(allotrope_[a-z_]+)[`=]", PAGE)) - values(Configurable) == values(
        Metadata
    )


def test_the_page_has_each_key_of_the_configurable() -> None:
    named = set(re.findall(r"`(__allotrope_[a-z]+)`", PAGE)) | {Configurable.THREAD}
    assert named == values(Configurable)
    assert f"`{Configurable.THREAD}`" in PAGE


def test_the_page_has_each_event() -> None:
    text = section("Events of a streamed run")
    assert {name for name in values(Event) if f"`{name}`" not in text} == set()


def test_the_page_has_each_key_of_a_prompts_audit() -> None:
    text = section("Memory")
    assert {key for key in get_type_hints(PromptAudit) if f"`{key}`" not in text} == set()


def literals(tree: ast.Module) -> list[tuple[int, str]]:
    """Names of the contracts that stand as literals of a module's own."""
    keys = values(Metadata) | values(Configurable)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in keys:
            found.append((node.lineno, node.value))
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                typed = isinstance(key, ast.Constant) and key.value == "type"
                if typed and isinstance(value, ast.Constant) and value.value in values(Event):
                    found.append((node.lineno, value.value))
        elif isinstance(node, ast.Compare) and ast.unparse(node.left) == "event['type']":
            found += [
                (node.lineno, one.value)
                for side in node.comparators
                for one in ast.walk(side)
                if isinstance(one, ast.Constant)
            ]
        elif isinstance(node, ast.Subscript | ast.Call):
            code = ast.unparse(node)
            if re.search(r"response_metadata(\[|\.get\()'allotrope'", code):
                found.append((node.lineno, "allotrope"))
    return found


def files() -> list[Path]:
    """The package's modules; those at the top are reached by links."""
    tops = ("agents", "graphs", "prompts", "memory", "models", "usage", "experiments")
    found = [path for top in tops for path in (ROOT / top).glob("**/*.py")]
    return [PACKAGE / path.relative_to(ROOT) for path in found] + list(PACKAGE.glob("**/*.py"))


def parsed(path: Path) -> ast.Module:
    """A module's tree. Python 3.11 counts its depth for all threads together (cpython#106905)."""
    for _ in range(20):
        with contextlib.suppress(SystemError):
            return ast.parse(path.read_text(encoding="utf-8"))
    raise AssertionError(f"{path} can't be parsed")


def test_no_module_writes_a_name_of_the_contracts_by_itself() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{line} {name!r}"
        for path in files()
        if path.name != "contracts.py" and "testing" not in path.parts
        for line, name in literals(parsed(path))
    ]
    assert not found, "\n".join(found)


def test_a_literal_is_noticed() -> None:
    code = (
        "a = config['metadata']['allotrope_agent']\n"
        "b = {'type': 'token', 'text': ''}\n"
        "c = event['type'] in ('reply', 'beat')\n"
        "d = reply.response_metadata['allotrope']\n"
    )
    assert {name for _, name in literals(ast.parse(code))} == {
        "allotrope_agent", "token", "reply", "beat", "allotrope",
    }  # fmt: skip
