"""Results are kept by number and by size: a thousand long texts stay in no memory."""

import ast
from pathlib import Path

from allotrope.support.remembered import remembered

ROOT = Path(__file__).parents[2]
FOLDERS = ("agents", "graphs", "memory", "models", "prompts", "usage", "experiments", "src")
WORDS = ("word", "one", "code", "kind", "model", "name")
"""Names of a first parameter that is a single word, or one of a few."""
FEW = 32


def test_short_texts_are_read_once_and_long_ones_aren_t_kept() -> None:
    read: list[str] = []

    @remembered(most=2, longest=3)
    def length(text: str, *, more: int = 0) -> int:
        read.append(text)
        return len(text) + more

    assert [length("abc"), length("abc"), length("abc", more=1)] == [3, 3, 4]
    assert [length("abcd"), length("abcd")] == [4, 4]
    assert read == ["abc", "abc", "abcd", "abcd"]
    for text in ("x", "y", "abc"):
        length(text)
    assert read[-1] == "abc"  # the oldest has gone


def counted_only(tree: ast.Module) -> list[str]:
    """Functions of a text whose results are kept by number alone."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef) or not node.args.args:
            continue
        first = node.args.args[0]
        text = first.annotation is not None and ast.unparse(first.annotation) == "str"
        for mark in node.decorator_list:
            if text and first.arg not in WORDS and _most(mark) >= FEW:
                found.append(node.name)
    return found


def _most(mark: ast.expr) -> int:
    if not isinstance(mark, ast.Call) or "lru_cache" not in ast.unparse(mark.func):
        return 0
    size = next((k.value for k in mark.keywords if k.arg == "maxsize"), None)
    return size.value if isinstance(size, ast.Constant) and isinstance(size.value, int) else 10**9


def test_no_long_text_is_kept_by_number_alone() -> None:
    found = {}
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            if names := counted_only(ast.parse(path.read_text(encoding="utf-8"))):
                found[str(path.relative_to(ROOT))] = names
    assert found == {}


def test_one_that_is_is_noticed() -> None:
    code = "@lru_cache(maxsize=20_000)\ndef read(text: str) -> int: ..."
    assert counted_only(ast.parse(code)) == ["read"]
