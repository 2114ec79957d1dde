"""The files of a model's reply: each fenced block with its name, wherever the name stands."""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from allotrope.graphs.work.answers import without_thoughts

SOLUTION, TESTS = "solution.py", "test_solution.py"

_FENCE = re.compile(r"([ \t]{0,12})(`{3,20}|~{3,20})([^\n]{0,300})\Z")
_PATH = re.compile(r"(?<![\w./~\\-])(?:\.{0,2}/)?[\w.-]{1,80}(?:/[\w.-]{1,80}){0,10}(?![\w/])")
_PLAIN_NAMES = frozenset({"Dockerfile", "Makefile", "Procfile", "Jenkinsfile", "Rakefile"})
_PYTHON = frozenset({"python", "py", "python3", "pycon3"})
_SHELL = frozenset({"bash", "sh", "shell", "zsh", "console", "powershell", "cmd", "terminal"})
_NO_FILES = frozenset({"text", "txt", "plaintext", "output", "diff", "patch", "pycon", "log"})
_SUFFIXES = {
    **dict.fromkeys(_PYTHON, (".py", ".pyi")),
    **dict.fromkeys(_SHELL, (".sh", ".bash", ".zsh", ".ps1", ".bat")),
    **dict.fromkeys(("javascript", "js", "jsx", "mjs"), (".js", ".mjs", ".cjs", ".jsx")),
    **dict.fromkeys(("typescript", "ts", "tsx"), (".ts", ".tsx")),
    **dict.fromkeys(("yaml", "yml"), (".yaml", ".yml")),
    **dict.fromkeys(("markdown", "md"), (".md",)),
    **dict.fromkeys(("cpp", "c++"), (".cpp", ".cc", ".hpp", ".h")),
    **dict.fromkeys(("rust", "rs"), (".rs",)),
    **{one: (f".{one}",) for one in ("html", "css", "sql", "go", "java", "json", "toml", "csv")},
    "c": (".c", ".h"),
    "ini": (".ini", ".cfg", ".conf"),
}
_UNNAMED = {
    **dict.fromkeys(("javascript", "js"), "script.js"),
    **dict.fromkeys(("typescript", "ts"), "script.ts"),
    **dict.fromkeys(("cpp", "c++"), "main.cpp"),
    **dict.fromkeys(("rust", "rs"), "main.rs"),
    "html": "index.html",
    "css": "style.css",
    "sql": "query.sql",
    "go": "main.go",
    "java": "Main.java",
    "c": "main.c",
    "dockerfile": "Dockerfile",
    "makefile": "Makefile",
}
"""Names of blocks without one, in replies without Python."""
_SHOWN = re.compile(r"\b(?:output|prints?|result|example|usage|run|install|gives)\b", re.IGNORECASE)
_COMMENT = re.compile(
    r"[ \t]{0,8}(?:#|//|--|/\*|<!--|;|%|\"\"\"|''')[ \t]{0,4}"
    r"(?:(?:file(?:[ ]?name)?|path)[ \t]{0,2}:[ \t]{0,4})?"
    r"([\w./-]{1,200})[ \t]{0,4}(?:\*/|-->|\"\"\"|''')?[ \t]{0,4}\Z",
    re.IGNORECASE,
)
_KEYED = re.compile(
    r"\b(?:title|file|filename|file_name|name|path)[ ]?[=:][ ]?[\"']?([\w./-]{1,200})",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Args:
        info: What stands behind the fence.
        code: Its text.
        lead: The line of prose before it.
    """

    info: str
    code: str
    lead: str

    @property
    def language(self) -> str:
        """The first word behind the fence."""
        return re.split(r"[\s:{,]", self.info.strip(), maxsplit=1)[0].lower()


def fenced(text: str) -> list[Block]:
    """The fenced blocks of a text; an unclosed last one counts.

    Args:
        text: A model's reply.
    """
    found: list[Block] = []
    lead, fence, indent = "", "", 0
    info, code = "", list[str]()
    for line in without_thoughts(text).split("\n"):
        if fence:
            stripped = line.strip()
            if stripped.startswith(fence) and not stripped.strip(fence[0]):
                found.append(Block(info, "\n".join(code), lead))
                fence, lead, code = "", "", []
            else:
                code.append(line[min(indent, len(line) - len(line.lstrip(" \t"))) :])
            continue
        opens = _FENCE.match(line) if len(line) < 400 else None
        if opens and not (opens[2][0] == "`" and "`" in opens[3]):
            indent, fence, info = len(opens[1]), opens[2], opens[3].strip()
        elif line.strip():
            lead = line.strip()
    if fence:
        found.append(Block(info, "\n".join(code), lead))
    return found


def files_of(text: str, *, known: Iterable[str] = ()) -> dict[str, str]:
    """The files of a reply: each block, named by its info string, first comment or heading.

    Args:
        text: A model's reply.
        known: Names of files that there are; only these may have blanks in them.

    Returns:
        Name to text. A Python block without a name is `test_solution.py` if it holds tests, else
        `solution.py`; commands, output and what is only shown are no files.
    """
    blocks = [one for one in fenced(text) if one.code.strip()]
    python = any(_is_python(one) for one in blocks)
    blank = sorted((one for one in known if " " in one), key=len, reverse=True)
    parts: dict[str, list[str]] = {}
    bound: dict[str, set[str]] = {}
    """What the blocks bind of which a file without a name is made so far."""
    for block in blocks:
        name, code = _known(block, blank) or _name(block), block.code.strip("\n").rstrip() + "\n"
        if not name:
            name = _default(block, python=python, has_some=bool(parts))
            if not name or (name in parts and name not in bound):
                continue
            binds = _bound(code)
            if name in bound and not bound[name] & binds:
                parts[name].append(code)
                bound[name] |= binds
                continue
            bound[name] = binds
        else:
            bound.pop(name, None)
        parts[name] = [code]
    return {name: "\n\n".join(codes) for name, codes in parts.items()}


def without_name(code: str, name: str) -> str:
    """A file's text without the comment that only names it.

    Args:
        code: The text.
        name: The file's name.
    """
    first, _, rest = code.partition("\n")
    if " " in name and first.strip(" \t#/*-;%").removeprefix("./") == name:
        return rest.lstrip("\n")
    found = _COMMENT.match(first)
    same = found is not None and found[1].removeprefix("./") == name
    return rest.lstrip("\n") if same and not first.lstrip().startswith(('"', "'")) else code


def _known(block: Block, names: Iterable[str]) -> str:
    """A known name with blanks that stands beside a block, word for word."""
    first = next((line for line in block.code.split("\n") if line.strip()), "")
    lead = block.lead if len(block.lead) <= 200 else ""
    for name in names:
        if name in block.info or name == first.strip(" \t#/*-;%").removeprefix("./"):
            return name
        if re.search(rf"(?<![\w/]){re.escape(name)}(?!\w)", lead):
            return name
    return ""


def _name(block: Block) -> str:
    for found in (*_in_info(block), *_in_comment(block), *_in_lead(block)):
        name = found.removeprefix("./").rstrip(".")
        if name and _fits(name, block.language):
            return name
    return ""


def _in_info(block: Block) -> Iterator[str]:
    keyed = _KEYED.search(block.info)
    if keyed:
        yield keyed[1]
    for word in re.split(r"[\s:{}]+", block.info)[0 if "." in block.language else 1 :]:
        if _is_path(word.strip("\"'")):
            yield word.strip("\"'")


def _in_comment(block: Block) -> Iterator[str]:
    first = next((line for line in block.code.split("\n") if line.strip()), "")
    found = _COMMENT.match(first) if len(first) < 300 else None
    if found and (_is_path(found[1]) or "/" in found[1]):
        yield found[1]


def _in_lead(block: Block) -> Iterator[str]:
    lead = block.lead
    if not lead or len(lead) > 200 or lead.startswith(("|", ">")):
        return
    quoted = [one for one in lead.split("`")[1::2] if _is_path(one.strip())]
    bare = re.sub(r"[*_#`:]|^\d{1,3}[.)]", " ", lead.replace("__", "\0")).replace("\0", "__")
    words = [word.strip("()[],;") for word in lead.replace("*", " ").replace("`", " ").split()]
    paths = [word.rstrip(":").rstrip(".") for word in words if _is_path(word.rstrip(":."))]
    heading = lead.startswith(("#", "**", "__")) or (
        len(bare.split()) <= 3 and not _SHOWN.search(lead)
    )
    labelled = re.match(r"(?:[-*\d.) ]{0,6})(?:file(?: ?name)?|path)\b", lead, re.IGNORECASE)
    if heading or labelled:
        yield from paths[:1]
    elif quoted and len(set(quoted)) == 1 and not _SHOWN.search(lead):
        yield quoted[0].strip()


def _is_path(word: str) -> bool:
    if word in _PLAIN_NAMES:
        return True
    last = word.rpartition("/")[2]
    stem, dot, suffix = last.rpartition(".")
    named = bool(stem) and bool(dot) and suffix.isalnum() and not suffix.isdigit()
    return named and len(suffix) <= 10 and _PATH.fullmatch(word) is not None


def _fits(name: str, language: str) -> bool:
    suffixes = _SUFFIXES.get(language)
    return suffixes is None or name.lower().endswith(suffixes) or "/" in language


def _is_python(block: Block) -> bool:
    if block.language in _PYTHON:
        return True
    return not block.language and _python_that_defines(block.code)


def _default(block: Block, *, python: bool, has_some: bool) -> str:
    """The name of a block that has none; empty where it is no file."""
    if not _is_python(block):
        return "" if python else _UNNAMED.get(block.language, "")
    if re.search(r"^[^\S\n]*+(?:def test_|class Test|import unittest)", block.code, re.MULTILINE):
        return TESTS
    shown = has_some and not _python_that_defines(block.code)
    return "" if shown else SOLUTION


def _python_that_defines(code: str) -> bool:
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom
    return any(isinstance(node, kinds) for node in tree.body)


def _bound(code: str) -> set[str]:
    """Names that a text's functions, classes and assignments bind."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {"*"}
    found = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {one.id for one in node.targets if isinstance(one, ast.Name)}
    return found
