"""What is broken on purpose: the functions of the code under test; and what betrays itself unrun.

Read from the text alone, nothing is imported. A text that is no Python has no functions.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

MOST = 60
"""Functions that are broken at most, those with most statements first."""

_ENTRIES = ("main", "cli", "run", "app")
_STAGES = ("pytest", "_pytest", "unittest")
_PLACES = {("sys", "modules"), ("sys", "argv"), ("sys", "orig_argv")}
_LOOKS = {
    ("sys", "_getframe"),
    ("inspect", "stack"),
    ("inspect", "currentframe"),
    ("traceback", "extract_stack"),
    ("traceback", "walk_stack"),
    ("traceback", "format_stack"),
}
_CHANCE = frozenset(
    {"random", "secrets", "uuid", "time", "datetime", "threading", "multiprocessing", "asyncio"}
    | {
        "concurrent",
        "numpy",
        "tempfile",
        "socket",
        "subprocess",
        "queue",
        "signal",
        "gc",
        "weakref",
    }
)
_OF_THE_SYSTEM = {("os", "urandom"), ("os", "getpid"), ("os", "listdir"), ("os", "times")}


@dataclass(frozen=True)
class Target:
    """A function, or a value of a file without functions.

    Args:
        file: Its file.
        name: Its name with its classes; empty for a script as a whole.
        line: Where it begins.
        gives: Whether it gives a value.
        excused: Whether tests may leave it out: private, a dunder, or the start of a program.
    """

    file: str
    name: str
    line: int
    gives: bool
    excused: bool

    @property
    def key(self) -> str:
        """Its name in reports."""
        return f"{self.file}::{self.name}"


def parsed(text: str) -> ast.Module | None:
    """The tree of a text; None where it is no Python."""
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def is_test(name: str) -> bool:
    """Whether pytest takes a file for tests."""
    path = PurePosixPath(name)
    return path.suffix == ".py" and (path.name.startswith("test_") or path.stem.endswith("_test"))


def is_support(name: str) -> bool:
    """Whether a file belongs to tests without being one: `conftest.py`, helpers in `tests/`."""
    path = PurePosixPath(name)
    return path.name == "conftest.py" or bool({"tests", "test"} & {*path.parts[:-1]})


def targets(files: Mapping[str, str], before: Mapping[str, str]) -> list[Target]:
    """What is to be broken: the functions that are new or changed, else all of them.

    Args:
        files: Name to text.
        before: The files as they were.
    """
    found = list(_all(files))
    old = {(t.file, t.name): _source(before[t.file], t) for t in _all(before)}
    fresh = [t for t in found if old.get((t.file, t.name)) != _source(files[t.file], t)]
    chosen = fresh or found
    size = {t: len(_source(files[t.file], t)) for t in chosen}
    return sorted(chosen, key=lambda t: -size[t])[:MOST]


def _all(files: Mapping[str, str]) -> Iterator[Target]:
    for name, text in files.items():
        if not name.endswith(".py") or is_test(name) or is_support(name):
            continue
        tree = parsed(text)
        if tree is not None:
            yield from _of(name, tree)


def _of(file: str, tree: ast.Module) -> Iterator[Target]:
    started = _started(tree)
    some = False
    for name, node in _functions(tree.body, ""):
        some = True
        if isinstance(node, ast.Assign):
            yield Target(file, name, node.lineno, True, name.startswith("_"))
        elif not _is_stub(node):
            last = name.rpartition(".")[2]
            excused = last.startswith("_") and last not in ("__init__", "__call__")
            excused = excused or last in started or (last == name and _is_entry(node))
            yield Target(file, name, node.lineno, _gives(node), excused)
    if some:
        return
    values = False
    for one in tree.body:
        names = one.targets if isinstance(one, ast.Assign) else []
        if len(names) == 1 and isinstance(names[0], ast.Name):
            values = True
            yield Target(file, names[0].id, one.lineno, True, names[0].id.startswith("_"))
    if not values and any(map(_does, tree.body)):
        yield Target(file, "", 0, False, False)


def _functions(
    body: list[ast.stmt], prefix: str
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.Assign]]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name + _accessor(node), node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from _functions(node.body, prefix)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
            yield from ((prefix + t.id, node) for t in node.targets if isinstance(t, ast.Name))


def _accessor(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """Sets a property's setter and deleter apart from its getter, which has the same name."""
    heads = (ast.unparse(one).rpartition(".") for one in node.decorator_list)
    return next((f".{last}" for _, dot, last in heads if dot and last in _ACCESSORS), "")


_ACCESSORS = ("setter", "deleter")


def _is_stub(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Nothing in it that could be broken, or a decorator that says so."""
    for decorator in node.decorator_list:
        text = ast.unparse(decorator).rpartition(".")[2]
        if text in ("abstractmethod", "overload"):
            return True
    if _accessor(node):  # without a body it does nothing where something is set
        return False
    for one in node.body:
        if isinstance(one, ast.Pass) or (
            isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant)
        ):
            continue
        raised = one.exc if isinstance(one, ast.Raise) else None
        if raised is not None and "NotImplementedError" in ast.unparse(raised):
            continue
        return False
    return True


def _gives(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    todo: list[ast.AST] = list(node.body)
    while todo:
        one = todo.pop()
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(one, ast.Yield) or (isinstance(one, ast.Return) and one.value is not None):
            return True
        todo += ast.iter_child_nodes(one)
    return False


def _is_entry(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a function is where a program starts: by its name, and called with nothing."""
    needed = len(node.args.posonlyargs) + len(node.args.args) - len(node.args.defaults)
    return node.name == "main" or (
        node.name in _ENTRIES and (not needed or bool(node.decorator_list))
    )


def _does(node: ast.stmt) -> bool:
    """Whether a statement of a script does something."""
    return not isinstance(node, ast.Import | ast.ImportFrom | ast.ClassDef) and not (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )


def _started(tree: ast.Module) -> set[str]:
    """Names of functions that `if __name__ == "__main__"` calls."""
    found = set()
    for node in tree.body:
        if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            for one in ast.walk(node):
                if isinstance(one, ast.Call) and isinstance(one.func, ast.Name):
                    found.add(one.func.id)
    return found


def _source(text: str, target: Target) -> str:
    """A target's own text, however it is laid out."""
    tree = parsed(text)
    if tree is None:
        return ""
    if not target.name:
        return ast.dump(tree)
    for node in ast.walk(tree):
        if getattr(node, "lineno", 0) == target.line and isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Assign
        ):
            return ast.dump(node)
    return ""


def depends_on_hashes(files: Mapping[str, str]) -> bool:
    """Whether code goes through sets or hashes, whose order differs from start to start.

    Args:
        files: Name to text.
    """
    for name, text in files.items():
        tree = parsed(text) if name.endswith(".py") else None
        for node in ast.walk(tree) if tree is not None else ():
            if isinstance(node, ast.Set | ast.SetComp):
                return True
            if isinstance(node, ast.Name) and node.id in ("set", "frozenset", "hash", "id"):
                return True
    return False


def may_differ(files: Mapping[str, str]) -> bool:
    """Whether code or tests use chance, clocks, threads or the like.

    Args:
        files: Name to text.
    """
    if imported(files) & _CHANCE or depends_on_hashes(files):
        return True
    for name, text in files.items():
        tree = parsed(text) if name.endswith(".py") else None
        nodes = ast.walk(tree) if tree is not None else ()
        if any(_of_module(node) in _OF_THE_SYSTEM for node in nodes):
            return True
    return False


def asks_for_the_date(files: Mapping[str, str]) -> bool:
    """Whether tests may come out otherwise on another day, and can be put there.

    What compares with the times of files can't: those stay as they are. Nor can what keeps classes
    of `datetime` by identity.

    Args:
        files: Name to text.
    """
    used = imported(files)
    if not used & {"datetime", "time", "calendar"} or used & _BOUND_TO_DATES:
        return False
    return not any(one in text for text in files.values() for one in ("mtime", "utime(", "ctime("))


_BOUND_TO_DATES = frozenset(
    {"pydantic", "pandas", "numpy", "freezegun", "time_machine", "sqlite3", "subprocess", "pickle"}
)


def imported(files: Mapping[str, str]) -> set[str]:
    """Top-level names of the modules that files import.

    Args:
        files: Name to text.
    """
    found: set[str] = set()
    for name, text in files.items():
        tree = parsed(text) if name.endswith(".py") else None
        for node in ast.walk(tree) if tree is not None else ():
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found


def knows_of_tests(files: Mapping[str, str]) -> list[str]:
    """Files of code that look whether tests are running them, so that green tests prove nothing.

    Args:
        files: Name to text.
    """
    found = []
    for name, text in files.items():
        if not name.endswith(".py") or is_test(name) or is_support(name):
            continue
        tree = parsed(text)
        nodes = list(ast.walk(tree)) if tree is not None else []
        asks = {place for node in nodes for place in _asked_of_system(node)}
        texts = [one.value for one in nodes if isinstance(one, ast.Constant)]
        words = [text for text in texts if isinstance(text, str) and "test" in text.lower()]
        stages = any(stage in text for text in words for stage in _STAGES)
        # of all loaded modules one asks for little else than whether tests are running
        loaded = asks & {"modules", "gc"} and any(" " not in text.strip() for text in words)
        if (asks and stages) or loaded or any(map(_looks, nodes)):
            found.append(name)
    return found


def _asked_of_system(node: ast.AST) -> set[str]:
    """What a node asks the interpreter for that shows who is running: `sys.modules`, `getattr`."""
    place = _of_module(node)
    if place in _PLACES:
        return {place[1]}
    if isinstance(node, ast.ImportFrom) and node.module == "sys":
        return {alias.name for alias in node.names} & {name for _, name in _PLACES}
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = (
            {alias.name for alias in node.names} if isinstance(node, ast.Import) else {node.module}
        )
        return {"gc"} & {str(name) for name in names}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        first = node.args[0] if node.args else None
        by_name = node.func.id in ("getattr", "vars") and getattr(first, "id", "") == "sys"
        return {"modules"} if by_name else {"globals"} & {node.func.id}
    return set()


def _looks(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        return any(alias.name.partition(".")[0] in _STAGES for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").partition(".")[0] in _STAGES
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and "PYTEST" in node.value
    return _of_module(node) in _LOOKS


def _of_module(node: ast.AST) -> tuple[str, str] | None:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node.value.id, node.attr
    return None


def answers_written_in(files: Mapping[str, str]) -> list[str]:
    """Functions of which every answer is a constant that stands in the tests, by their arguments.

    Args:
        files: Name to text, tests included.

    Returns:
        Ids of functions that look up at least two of the tests' own pairs and compute nothing.
    """
    known: set[str] = set()
    for name, text in files.items():
        tree = parsed(text) if is_test(name) else None
        known |= (
            {ast.dump(one) for one in ast.walk(tree) if isinstance(one, ast.Constant)}
            if (tree is not None)
            else set()
        )
    found = []
    for name, text in files.items():
        tree = parsed(text) if name.endswith(".py") and not is_test(name) else None
        for path, node in _functions(tree.body, "") if tree is not None else ():
            if isinstance(node, ast.FunctionDef) and _looks_up(node, known):
                found.append(f"{name}::{path}")
    return found


def _looks_up(node: ast.FunctionDef, known: set[str]) -> bool:
    """Whether a function compares with, or looks up, the tests' constants and gives only those."""
    tables = [one for one in ast.walk(node) if isinstance(one, ast.Dict)]
    names = {
        target.id
        for one in ast.walk(node)
        if isinstance(one, ast.Assign) and isinstance(one.value, ast.Dict)
        for target in one.targets
        if isinstance(target, ast.Name)
    }
    returns = [one.value for one in ast.walk(node) if isinstance(one, ast.Return) and one.value]
    pairs = 0
    for table in tables:
        inside = [
            key is not None and ast.dump(key) in known and ast.dump(value) in known
            for key, value in zip(table.keys, table.values, strict=True)
        ]
        pairs += sum(inside) if all(inside) else 0
    for one in ast.walk(node):
        if isinstance(one, ast.If) and isinstance(one.test, ast.Compare):
            same = isinstance(one.test.ops[0], ast.Eq) and isinstance(one.test.left, ast.Name)
            gives = one.body[0] if len(one.body) == 1 else None
            constant = isinstance(gives, ast.Return) and isinstance(gives.value, ast.Constant)
            pairs += same and constant and ast.dump(one.test.comparators[0]) in known
    return pairs >= 2 and bool(returns) and all(_is_looked_up(one, names) for one in returns)


def _is_looked_up(value: ast.expr, tables: set[str]) -> bool:
    if isinstance(value, ast.Constant):
        return True
    if isinstance(value, ast.Subscript):
        holder: ast.expr = value.value
    elif isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        holder = value.func.value
    else:
        return False
    return isinstance(holder, ast.Dict) or (isinstance(holder, ast.Name) and holder.id in tables)
