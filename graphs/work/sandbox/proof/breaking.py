"""Breaks code on purpose, inside the sandbox: its text is sent there before that of `inside.py`.

A broken function gives something else than it would (`other`, then `far`), or does nothing.
Standard library only.
"""

import ast
from typing import Any

BROKEN, REACHED, ASSERTED = "__broken__", "__reached__", "__asserted__"
equal_to_all: "list[str]" = []
"""Types of values that say that they equal everything."""
reached: "set[str]" = set()
"""Targets that were called."""
failed: "list[str]" = []
"""Assertions that were false, whatever became of their exceptions."""


# --- values that a broken function gives -------------------------------------------------------


class _Nothing:
    """Equal to nothing."""


def other(value: Any) -> Any:
    """A value of the same type, a little different; None where that isn't known."""
    if isinstance(value, bool):
        return not value
    try:
        if type(value).__module__ != "builtins" and (value == _Nothing()) is True:
            equal_to_all.append(type(value).__name__)
        if isinstance(value, (int, float, complex)) or hasattr(value, "dtype"):
            return value + 1
        if isinstance(value, (str, bytes)):
            return value + ("~" if isinstance(value, str) else b"~")  # type: ignore[operator]
        if isinstance(value, (list, bytearray)):
            return [*value, None]
        if type(value) is tuple:
            return (*value, None)
        if isinstance(value, dict):
            return {**value, "~": None}
        if isinstance(value, (set, frozenset)):
            return value | {"~"}
        if hasattr(value, "__next__") and not hasattr(value, "send"):
            return iter([None, *value])
        if hasattr(value, "as_integer_ratio"):
            return value + 1
    except Exception:  # noqa: BLE001 # foreign types may do anything
        return None
    return "~" if value is None else None


def far(value: Any) -> Any:
    """The empty value of the same type, or one that differs much."""
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, (int, float, complex)):
            return 0 if value else -1
        if hasattr(value, "dtype"):
            return value * 0
        if isinstance(value, (str, bytes, list, tuple, dict, set, frozenset)):
            kind = next(
                k for k in (str, bytes, list, tuple, dict, set, frozenset) if isinstance(value, k)
            )
            return kind() if value else None
    except Exception:  # noqa: BLE001 # as above
        return None
    return 0 if value is None else _Nothing()


# --- breaking a function -----------------------------------------------------------------------


class _Returns(ast.NodeTransformer):
    """Wraps what one function gives; functions within it stay as they are."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return node

    def visit_Return(self, node: ast.Return) -> ast.AST:
        self.generic_visit(node)
        if node.value is not None:
            node.value = _call(BROKEN, node.value)
        return node

    def visit_Yield(self, node: ast.Yield) -> ast.AST:
        self.generic_visit(node)
        node.value = _call(BROKEN, node.value or ast.Constant(None))
        return node


def _call(name: str, *args: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(args), [])


def _named(tree: ast.Module, name: str, line: int) -> Any:
    for node in ast.walk(tree):
        if getattr(node, "lineno", 0) != line:
            continue
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name in name.split(
            "."
        ):
            return node
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            return node
    raise LookupError(name)


def broken(text: str, name: str, line: int, how: str) -> str:
    """A file's text with one function or value broken.

    Args:
        text: The file.
        name: The function's name, with its classes.
        line: Where it begins.
        how: `values`: what it gives is changed at run time; `nothing`: it does nothing.
    """
    tree = ast.parse(text)
    if not name:  # a script
        return "\n"
    node = _named(tree, name, line)
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        if isinstance(node.value, ast.Lambda):
            node.value.body = _call(BROKEN, node.value.body)
        elif node.value is not None:
            node.value = _call(BROKEN, node.value)
    elif how == "values":
        visitor = _Returns()
        node.body = [visitor.visit(statement) for statement in node.body]
    else:
        yields = any(isinstance(one, (ast.Yield, ast.YieldFrom)) for one in ast.walk(node))
        node.body = [ast.Return(ast.Constant(None) if not yields else None)]
        if yields:
            node.body.append(ast.Expr(ast.Yield(None)))
    return ast.unparse(ast.fix_missing_locations(tree))


def marked(text: str, targets: "list[tuple[str, str, int]]") -> str:
    """A file's text in which each target tells that it was reached.

    Args:
        text: The file.
        targets: Id, name and line of each.
    """
    tree = ast.parse(text)
    for key, name, line in targets:
        node = _named(tree, name, line) if name else None
        mark = _call(REACHED, ast.Constant(key))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.body.insert(int(ast.get_docstring(node) is not None), ast.Expr(mark))
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, ast.Lambda):
            node.value.body = ast.Subscript(
                ast.Tuple([mark, node.value.body], ast.Load()), ast.Constant(1), ast.Load()
            )
        else:
            reached.add(key)
    return ast.unparse(ast.fix_missing_locations(tree))


class _Asserts(ast.NodeTransformer):
    """Lets each assertion of a test tell its value."""

    def __init__(self, path: str) -> None:
        self.path = path

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        self.generic_visit(node)
        place = ast.Constant(f"{self.path}:{node.lineno}")
        node.test = _call(ASSERTED, place, node.test)
        return node


class Failure(AssertionError):
    """What unittest's assertions raise: that one failed is noted as well."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        failed.append(str(args[0] if args else "an assertion").split("\n")[0][:80])


def asserted(place: str, value: Any) -> Any:
    """The value of an assertion; that it is false is noted, whatever becomes of the exception."""
    if not value:
        failed.append(place)
    return value


def listening(path: str, text: str) -> str:
    """A test file's text in which a failed assertion is noted even if nobody hears of it.

    Args:
        path: The file.
        text: Its text.
    """
    return ast.unparse(ast.fix_missing_locations(_Asserts(path).visit(ast.parse(text))))
