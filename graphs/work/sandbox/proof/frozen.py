"""Tests stay as they were first written: what a repair took from them is found and said.

A repair may add tests, imports and assertions. Everything else that changes what a test of before
asks for is named; whether it is right is a person's to say.
"""

import ast
from collections.abc import Iterable, Mapping, Sequence

from allotrope.graphs.work.sandbox.proof.targets import is_support, is_test, parsed

Function = ast.FunctionDef | ast.AsyncFunctionDef


def tests_in(files: Mapping[str, str]) -> dict[str, str]:
    """The files that hold tests, or what tests share.

    Args:
        files: Name to text.
    """
    return {name: text for name, text in files.items() if is_test(name) or is_support(name)}


def taken_away(first: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What isn't as it was first written, a sentence each.

    Args:
        first: The tests as first written, by file.
        now: All files as they are.
    """
    found: list[str] = []
    for name, text in first.items():
        if name not in now:
            found.append(f"`{name}` was removed.")
        elif now[name] != text:
            found += _in_file(name, text, now[name])
    for name, text in now.items():
        if name not in first and is_support(name) and not plain_support(text):
            found.append(f"`{name}` was added; it can change how tests run.")
    return found


def _in_file(name: str, first: str, now: str) -> list[str]:
    before, after = parsed(first), parsed(now)
    if before is None:  # it never ran; whatever is there now is the first that does
        return []
    if after is None:
        return [f"`{name}` is no Python any more."]
    found = []
    kept, news = _pieces(before), _pieces(after)
    for piece, node in kept.items():
        same = news.get(piece)
        if same is None:
            found.append(f"In `{name}`, {_called(piece)} was removed.")
        elif not _asks_as_much(node, same):
            found.append(f"In `{name}`, {_called(piece)} was changed.")
    old_loose, new_loose = _loose(before), _loose(after)
    for text in old_loose:
        if text not in new_loose:
            found.append(f"In `{name}`, `{_short(text)}` was changed or removed.")
    names = {one for text in old_loose for one in _bound(text)} | {key[-1] for key in kept}
    for text in new_loose:
        if text not in old_loose and ({*_bound(text)} & names or _acts(text)):
            found.append(f"In `{name}`, `{_short(text)}` was added.")
    for piece, node in news.items():
        if piece not in kept and isinstance(node, Function) and _is_autouse(node):
            found.append(f"In `{name}`, {_called(piece)} was added; it takes part in every test.")
    found += [f"In `{name}`, {_called(p)} stands there twice." for p in _twice(after) if p in kept]
    return found


Piece = tuple[str, ...]


def _pieces(tree: ast.Module) -> dict[Piece, ast.stmt]:
    """Functions and classes' heads, by their names."""
    found: dict[Piece, ast.stmt] = {}
    for piece, node in _walk(tree.body, ()):
        found[piece] = node
    return found


def _walk(body: Sequence[ast.stmt], inside: Piece) -> Iterable[tuple[Piece, ast.stmt]]:
    for node in body:
        if isinstance(node, Function):
            yield (*inside, node.name), node
        elif isinstance(node, ast.ClassDef):
            yield (*inside, node.name), node
            yield from _walk(node.body, (*inside, node.name))


def _twice(tree: ast.Module) -> set[Piece]:
    seen: set[Piece] = set()
    twice: set[Piece] = set()
    for piece, _ in _walk(tree.body, ()):
        (twice if piece in seen else seen).add(piece)
    return twice


def _asks_as_much(before: ast.stmt, now: ast.stmt) -> bool:
    """Whether a function or class is as it was, but for assertions and comments that were added."""
    if isinstance(before, ast.ClassDef) or isinstance(now, ast.ClassDef):
        return _head(before) == _head(now)
    if not isinstance(before, Function) or not isinstance(now, Function):
        return False
    if _head(before) != _head(now):
        return False
    old = [ast.dump(one) for one in _body(before)]
    left = list(old)
    for one in _body(now):
        if left and ast.dump(one) == left[0]:
            left.pop(0)
        elif not isinstance(one, ast.Assert) or _binds(one):
            return False
    return not left


def _binds(node: ast.AST) -> bool:
    return any(isinstance(one, ast.NamedExpr) for one in ast.walk(node))


def _body(node: Function) -> list[ast.stmt]:
    return [one for one in node.body if not _is_words(one)]


def _is_words(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _head(node: ast.stmt) -> str:
    """Everything of a function but its body and its types; of a class but its methods."""
    if isinstance(node, Function):
        names = [one.arg for one in (*node.args.posonlyargs, *node.args.args)]
        extra = [one.arg for one in node.args.kwonlyargs]
        defaults = [ast.dump(one) for one in node.args.defaults]
        decorators = [ast.dump(one) for one in node.decorator_list]
        return repr((type(node).__name__, names, extra, defaults, decorators))
    if isinstance(node, ast.ClassDef):
        apart = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        inside = [
            ast.dump(one) for one in node.body if not isinstance(one, apart) and not _is_words(one)
        ]
        heads = [ast.dump(one) for one in (*node.bases, *node.decorator_list)]
        return repr((heads, inside))
    return ast.dump(node)


def _loose(tree: ast.Module) -> list[str]:
    """Statements of a file besides functions, classes, imports and words."""
    return [
        ast.unparse(one)
        for one in tree.body
        if not isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not isinstance(one, ast.Import | ast.ImportFrom)
        and not _is_words(one)
    ]


def _bound(text: str) -> list[str]:
    tree = parsed(text)
    nodes = ast.walk(tree) if tree is not None else ()
    return [one.id for one in nodes if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)]


def _acts(text: str) -> bool:
    """Whether a statement does more than give a name to a value; pytest's own names count."""
    tree = parsed(text)
    node = tree.body[0] if tree is not None and tree.body else None
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return not (isinstance(node, ast.If) and "__name__" in ast.unparse(node.test))
    names = _bound(text)
    simple = bool(names) and all(
        isinstance(one, ast.Name)
        for one in (node.targets if isinstance(node, ast.Assign) else [node.target])
    )
    return not simple or any(one.startswith(("pytest", "collect_ignore")) for one in names)


def _is_autouse(node: Function) -> bool:
    return any("autouse" in ast.unparse(one) for one in node.decorator_list) or (
        node.name.startswith("pytest_") or node.name in ("setup_module", "setup_function")
    )


def plain_support(text: str) -> bool:
    """Whether a `conftest.py` holds nothing but fixtures that tests ask for, and values.

    Args:
        text: Its text.
    """
    tree = parsed(text)
    if tree is None:
        return False
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            heads = [ast.unparse(one) for one in node.decorator_list]
            is_fixture = any("fixture" in head for head in heads)
            if node.name.startswith("pytest_") or _is_autouse(node):
                return False
            if heads and not is_fixture:
                return False
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            if _acts(ast.unparse(node)):
                return False
        elif isinstance(node, ast.Import | ast.ImportFrom):
            if "_pytest" in ast.unparse(node):
                return False
        elif not _is_words(node):
            return False
    return True


def _called(piece: Piece) -> str:
    return f"`{'.'.join(piece)}`"


def _short(text: str) -> str:
    first = text.split("\n")[0]
    return first if len(first) <= 60 else f"{first[:57]}…"
