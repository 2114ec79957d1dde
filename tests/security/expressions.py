"""Every regular expression of the package, and the texts on which each would be slowest.

Run as a program it reads the tables of `test_expressions.py` and prints, one JSON line each, the
expressions that aren't done with their worst text within some seconds of CPU.
"""

import ast
import importlib
import itertools
import json
import os
import pkgutil
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from re import _constants as kinds  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

SIZE = 200_000
"""Characters that each expression gets; at that length what is quadratic takes minutes."""

_METHODS = (
    "compile",
    "search",
    "match",
    "fullmatch",
    "findall",
    "finditer",
    "sub",
    "subn",
    "split",
)
_ANCHORED = {"match", "fullmatch"}
_SKIPPED = ("allotrope.testing",)  # the provider simulator, for tests


@dataclass(frozen=True)
class Expression:
    """One expression, and how it is used.

    Args:
        where: Module and line.
        pattern: Its source.
        flags: As given to `re.compile`.
        method: `finditer`, or `match`/`fullmatch` where it is used in no other way.
    """

    where: str
    pattern: str
    flags: int
    method: str


# --- finding them ------------------------------------------------------------------------------


def expressions(tables: dict[str, list[str]]) -> tuple[list[Expression], list[str]]:
    """All expressions, and the uses whose pattern can't be told from the source.

    Args:
        tables: For `module:expression` as written, the patterns that it stands for.
    """
    sources = {}
    for module in modules():
        file = getattr(module, "__file__", None)
        if file and file.endswith(".py"):
            sources[module] = Path(file).read_text(encoding="utf-8")
    everything = "\n".join(sources.values())
    found: dict[tuple[str, int, str], Expression] = {}
    unknown = []
    for module, source in sources.items():
        names = _assigned(ast.parse(source))
        for call in ast.walk(ast.parse(source)):
            method = _method(call)
            if method is None:
                continue
            assert isinstance(call, ast.Call)
            place = f"{module.__name__}:{call.lineno}"
            key = f"{module.__name__}:{ast.unparse(call.args[0])}"
            patterns = tables.get(key) or _pattern(call.args[0], vars(module))
            if not patterns:
                unknown.append(key)
                continue
            flags = _flags(call, method, vars(module))
            used = names.get((call.lineno, call.col_offset))
            how = _use(used, source, everything) if method == "compile" else method
            for pattern in patterns:
                kind = how if how in _ANCHORED else "finditer"
                found.setdefault((pattern, flags, kind), Expression(place, pattern, flags, kind))
    return list(found.values()), unknown


def modules() -> Iterator[Any]:
    """Every module of the package that can be imported here."""
    import allotrope

    for info in pkgutil.walk_packages(allotrope.__path__, "allotrope."):
        if info.name.startswith(_SKIPPED) or info.name.endswith("__main__"):
            continue
        yield importlib.import_module(info.name)


def _method(node: ast.AST) -> str | None:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
        owner = node.func.value
        if isinstance(owner, ast.Name) and owner.id == "re" and node.func.attr in _METHODS:
            return node.func.attr
    return None


def _pattern(node: ast.expr, names: dict[str, Any]) -> list[str]:
    """The pattern as the module computes it; `re.escape(…)` of something is a word."""

    class Escaped(ast.NodeTransformer):
        def visit_Call(self, call: ast.Call) -> ast.AST:
            if ast.unparse(call.func) == "re.escape":
                return ast.copy_location(ast.Constant("word"), call)
            return self.generic_visit(call)

    plain = ast.fix_missing_locations(Escaped().visit(ast.parse(ast.unparse(node), mode="eval")))
    try:
        value = eval(compile(plain, "pattern", "eval"), dict(names))
    except Exception:
        return []
    if isinstance(value, re.Pattern):
        value = value.pattern
    return [value] if isinstance(value, str) else []


def _flags(call: ast.Call, method: str, names: dict[str, Any]) -> int:
    at = {"compile": 1, "search": 2, "match": 2, "fullmatch": 2, "findall": 2, "finditer": 2}
    node = next((k.value for k in call.keywords if k.arg == "flags"), None)
    if node is None and len(call.args) > at.get(method, 9):
        node = call.args[at[method]]
    if node is None:
        return 0
    try:
        return int(eval(compile(ast.Expression(node), "flags", "eval"), dict(names)))
    except NameError:
        return int(re.IGNORECASE | re.MULTILINE)


def _assigned(tree: ast.Module) -> dict[tuple[int, int], str]:
    found = {}
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Assign) and _method(node.value) == "compile"):
            continue
        if len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            found[node.value.lineno, node.value.col_offset] = node.targets[0].id
    return found


def _use(name: str | None, source: str, everything: str) -> str:
    """`match` or `fullmatch` where every use of the name is that."""
    if name is None:
        return "finditer"
    text = source if name.startswith("_") else everything
    uses = re.findall(rf"\b{name}\b(?!\s*(?::[^=]*)?=)(?:\.(\w+))?", text)
    methods = set(uses)
    return methods.pop() if len(methods) == 1 and methods <= _ANCHORED else "finditer"


# --- their worst texts -------------------------------------------------------------------------


def attacks(expression: Expression) -> list[tuple[str, str, str]]:
    """Texts as (head, what is repeated, tail), from the expression's own parts."""
    tree = parser.parse(expression.pattern, expression.flags)
    heads: dict[str, None] = {"": None}
    units: dict[str, None] = {}
    for before, repeated in _repeats(tree, ""):
        heads[before] = None
        for body in repeated:
            units[body] = None
            if before:
                units[before + body] = None
                units[before] = None
    units.update(dict.fromkeys(". a1<>[]{}()\"'`/-,:#*|\n\t~"))
    units.update(dict.fromkeys([_example(tree, 0), *_letters(tree)]))
    texts = []
    for head, unit in itertools.product(list(heads)[:4], [u for u in units if u][:30]):
        for tail in ("\0", "\n"):
            texts.append((head, unit, tail))
    return texts


def _repeats(tree: Any, before: str) -> Iterator[tuple[str, list[str]]]:
    for kind, value in tree:
        if kind in (kinds.MAX_REPEAT, kinds.MIN_REPEAT, kinds.POSSESSIVE_REPEAT):
            low, high, body = value
            if high > 8:
                texts = dict.fromkeys(t for t in _samples(body) if t)
                yield before, list(texts)[:6]
            yield from _repeats(body, before)
            before += _example(body, 0) * min(low, 3)
            continue
        for inner in _inside(kind, value):
            yield from _repeats(inner, before)
        before += _one(kind, value, 0)


def _inside(kind: Any, value: Any) -> list[Any]:
    if kind is kinds.SUBPATTERN:
        return [value[-1]]
    if kind is kinds.BRANCH:
        return list(value[1])
    if kind in (kinds.ASSERT, kinds.ASSERT_NOT):
        return [value[1]]
    if kind is kinds.ATOMIC_GROUP:
        return [value]
    if kind is kinds.GROUPREF_EXISTS:
        return [part for part in value[1:] if part]
    return []


def _samples(tree: Any) -> list[str]:
    """A few texts that a part takes: by the first, the next … of its alternatives."""
    return [_example(tree, choice) for choice in range(6)]


def _example(tree: Any, choice: int) -> str:
    return "".join(_one(kind, value, choice) for kind, value in tree)


def _one(kind: Any, value: Any, choice: int) -> str:
    if kind is kinds.LITERAL:
        return chr(value)
    if kind in (kinds.NOT_LITERAL, kinds.ANY, kinds.IN, kinds.CATEGORY):
        taken = _taken(kind, value)
        return taken[choice % len(taken)] if taken else ""
    if kind is kinds.BRANCH:
        return _example(value[1][choice % len(value[1])], choice)
    if kind in (kinds.MAX_REPEAT, kinds.MIN_REPEAT, kinds.POSSESSIVE_REPEAT):
        low, high, body = value
        return _example(body, choice) * max(min(low, 3), 1 if choice % 2 and high else low and 1)
    if kind is kinds.SUBPATTERN:
        return _example(value[-1], choice)
    if kind is kinds.ATOMIC_GROUP:
        return _example(value, choice)
    return ""


_POOL = ". a1A_-,;:/\\<>[](){}\"'`~#*+=|&%$@!?\n\t\u00a0é“’"


def _taken(kind: Any, value: Any) -> list[str]:
    """Characters that a class takes, tried on the class itself; ones of its own where none does."""
    if kind is kinds.NOT_LITERAL:
        return [c for c in _POOL if c != chr(value)]
    if kind is kinds.ANY:
        return [c for c in _POOL if c != "\n"]
    members = value if kind is kinds.IN else [(kind, value)]
    negated = any(member[0] is kinds.NEGATE for member in members)
    positive = [m for m in members if m[0] is not kinds.NEGATE]
    inside = [c for c in _POOL if any(_holds(m, c) for m in positive) != negated]
    if inside or negated:
        return inside
    first = positive[0]
    return [chr(first[1] if first[0] is kinds.LITERAL else first[1][0])]


def _holds(member: Any, character: str) -> bool:
    kind, value = member
    if kind is kinds.LITERAL:
        return chr(value) == character
    if kind is kinds.RANGE:
        return bool(value[0] <= ord(character) <= value[1])
    name = {
        kinds.CATEGORY_DIGIT: r"\d",
        kinds.CATEGORY_NOT_DIGIT: r"\D",
        kinds.CATEGORY_SPACE: r"\s",
        kinds.CATEGORY_NOT_SPACE: r"\S",
        kinds.CATEGORY_WORD: r"\w",
        kinds.CATEGORY_NOT_WORD: r"\W",
    }.get(value)
    return name is not None and re.match(name, character) is not None


def _letters(tree: Any) -> list[str]:
    return [body for _, repeated in _repeats(tree, "") for body in repeated]


def text_of(attack: tuple[str, str, str], size: int) -> str:
    """The text, of about so many characters."""
    head, unit, tail = attack
    return head + unit * (size // len(unit)) + tail


# --- trying them -------------------------------------------------------------------------------


def _try(expression: Expression, cpu_s: int, size: int) -> None:
    """In a process of its own, which the kernel kills where one text takes too much CPU."""
    run = getattr(re.compile(expression.pattern, expression.flags), expression.method)

    def spent(attack: tuple[str, str, str], characters: int) -> float:
        text = text_of(attack, characters)
        _note(attack)
        began = time.process_time()
        resource.setrlimit(resource.RLIMIT_CPU, (int(began) + 1 + cpu_s, resource.RLIM_INFINITY))
        found = run(text)
        if expression.method == "finditer":
            for _ in found:
                pass
        return time.process_time() - began

    worst = attacks(expression)
    for characters, kept in ((1_000, 8), (16_000, 2)):
        costs = [(spent(attack, min(characters, size)), attack) for attack in worst]
        worst = [attack for _, attack in sorted(costs, reverse=True)[:kept]]
    for attack in worst:
        spent(attack, size)


def _note(attack: tuple[str, str, str]) -> None:
    os.pwrite(_NOTES, json.dumps(attack).encode()[:400].ljust(400), 0)


_NOTES = -1


def slow(tried: list[Expression], *, cpu_s: int, size: int = SIZE) -> list[dict[str, Any]]:
    """The expressions that needed more than `cpu_s` seconds of CPU for a text of `size`."""
    return [
        {**vars(one), **found}
        for one in tried
        if (found := _watched(lambda one=one: _try(one, cpu_s, size)))
    ]


def _watched(work: Callable[[], None]) -> dict[str, str] | None:
    """Runs something in a fork; what it was at when it was killed or failed, or None."""
    global _NOTES
    with tempfile.TemporaryFile() as notes:
        _NOTES = notes.fileno()
        child = os.fork()
        if child == 0:
            try:
                work()
            except BaseException as exc:
                _note(("", type(exc).__name__, str(exc)[:80]))
                os._exit(1)
            os._exit(0)
        _, code = os.waitpid(child, 0)
        if code == 0:
            return None
        cause = "killed" if os.WIFSIGNALED(code) else "failed"
        return {"text": os.pread(_NOTES, 400, 0).decode(errors="replace").strip(), "cause": cause}


# --- parsers that are written by hand ------------------------------------------------------------

UNITS = (
    *". a1<>[]{}()\"'`|\n\t,-#*!~\u201c\u00a0\uff1c\u200b",
    *("1 ", "1,", "1.1 ", "a.", "a ", "a. ", "![", "[1]", "[1", "](", "[[", "{{", "{{a}}", '{"a":'),
    *("<think>", "```", "```\n", "<img ", "- a\n", "\n\n", "a\u0301", "0" * 50 + " ", "not "),
    *("http://", "https://a.b/", "www.", "a.csv ", '"a.csv" ', "./", "a/", "use 'a' "),
    *("<quoted_data", "<|im_start|>", "### Output:\n<chat_history>", "I decided. "),
    *("at most 5 words ", "between 1 and 2 words ", "My name is A. "),
    *("may ", "1 may 2020 ", "rise not ", "Up 5 % [1]. ", "[1,1,1,", '[1 "a b"] ', "a|b\n"),
    *("```python\nimport a\n```\n", "```\na=1\n```\n", "- [ ] a 1. ", "K\u00f6ln 1,5 Mio. "),
)
"""What is repeated for each parser."""

PARSED = 120_000
"""Characters that each parser gets."""


def slow_parsers(parsers: dict[str, Callable[[str], object]], *, cpu_s: int) -> dict[str, Any]:
    """The parsers that needed more than `cpu_s` seconds of CPU for some unit, `PARSED` long.

    Args:
        parsers: By name; each takes a text. An error of theirs for bad input is fine.
        cpu_s: Seconds for one text.
    """

    def work(parse: Callable[[str], object]) -> None:
        for unit in UNITS:
            for head in ("### Task:\n",):
                attack = (head, unit, "\0")
                _note(attack)
                limit = int(time.process_time()) + 1 + cpu_s
                resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
                parse(text_of(attack, PARSED))

    found = {name: _watched(lambda p=parse: work(p)) for name, parse in parsers.items()}
    return {name: what for name, what in found.items() if what}


def main() -> None:
    """Prints what is slow, or couldn't be found; the tables come on standard input."""
    given = json.load(sys.stdin)
    found, unknown = expressions(given["tables"])
    print(json.dumps({"expressions": len(found), "unknown": unknown}), flush=True)
    for size in {SIZE, *given["capped"].values()}:
        theirs = [
            one for one in found if given["capped"].get(one.where.partition(":")[0], SIZE) == size
        ]
        for one in slow(theirs, cpu_s=given["cpu_s"], size=size):
            print(json.dumps(one), flush=True)


if __name__ == "__main__":
    main()
