"""What `allotrope new agent` writes: planned in memory first, then written all or nothing.

In a clone of the project a new agent becomes one of ours: spec, graph, prompt, test, registry,
`langgraph.json` and docs. Elsewhere it becomes a small package of its own, which the registry finds
by its entry point.
"""

import ast
import json
import keyword
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from importlib.metadata import version as version_of
from pathlib import Path
from string import Template

from allotrope.exceptions import AllotropeError, InputError

NAME = re.compile(r"[a-z][a-z0-9_]{1,29}")
"""What an agent may be called: it becomes a module, a command's argument and a template's name."""

MOST_SUMMARY = 80
"""Characters of a summary: it has to fit into one line of code."""

ROOMS = frozenset(
    {
        "agents",
        "allotrope",
        "benchmarks",
        "cli",
        "docs",
        "examples",
        "experiments",
        "graphs",
        "memory",
        "models",
        "prompts",
        "settings",
        "stores",
        "testing",
        "tests",
        "tools",
        "usage",
    }
)
"""Names that folders of the project have."""

_AGENTS = re.compile(r"^AGENTS = (\([^)]*\))", re.MULTILINE)
_LAST_SECTION = "\n## Text from files and pages\n"


@dataclass(frozen=True)
class Scaffold:
    """What is to be written.

    Args:
        name: The agent.
        folder: Where: the clone, or the folder that gets the new package.
        clone: Whether it joins the agents of a clone.
        created: New files, by path below the folder.
        changed: New texts of files that are there, by path below the folder.
        next_steps: Commands to go on with.
    """

    name: str
    folder: Path
    clone: bool
    created: Mapping[str, str]
    changed: Mapping[str, str] = field(default_factory=dict)
    next_steps: tuple[str, ...] = ()


def find_clone(start: Path) -> Path | None:
    """The clone of the project that a folder is in, if any.

    Args:
        start: Where to begin to look upwards.
    """
    for folder in (start, *start.parents):
        project = folder / "pyproject.toml"
        if (
            (folder / "agents" / "registry.py").is_file()
            and (folder / "langgraph.json").is_file()
            and project.is_file()
            and re.search(r'^name = "allotrope"$', project.read_text(encoding="utf-8"), re.M)
        ):
            return folder
    return None


def plan(name: str, *, summary: str | None = None, where: Path) -> Scaffold:
    """What a new agent needs; writes nothing.

    Args:
        name: What users will call it.
        summary: What it does, one sentence.
        where: The working folder.

    Raises:
        InputError: The name or the summary can't be used, or something of that name is there.
    """
    check_name(name)
    text = check_summary(summary or f"Answers questions as {name.replace('_', ' ')}.")
    clone = find_clone(where.resolve())
    words = {
        "name": name,
        "dashed": name.replace("_", "-"),
        "camel": "".join(part.title() for part in name.split("_")),
        "summary": text,
        "version": _version(),
    }
    made = _own_package(where, words) if clone is None else _joins(clone, words)
    for path in made.created:
        if (made.folder / path).exists():
            raise InputError(f"{made.folder / path} exists already.", hint="Take another name.")
    return made


def check_name(name: str) -> None:
    """Refuses what can't be the name of a new agent.

    Raises:
        InputError: It says why.
    """
    from allotrope.agents.registry import names

    if not NAME.fullmatch(name) or name.endswith("_") or "__" in name:
        raise InputError(
            f"{name[:60]!r} can't be an agent's name.",
            hint="Use 2 to 30 of a-z, 0-9 and _, beginning with a letter, such as word_count.",
        )
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise InputError(f"{name!r} is a word of Python.", hint="Take another name.")
    if name in ROOMS:
        raise InputError(f"{name!r} is a folder of the project.", hint="Take another name.")
    if name in names():
        raise InputError(f"There is an agent {name!r} already.", hint="Take another name.")


def check_summary(summary: str) -> str:
    """The summary as one plain sentence.

    Raises:
        InputError: It is too long, or has characters that would break the files it stands in.
    """
    summary = summary.strip()
    if not summary.endswith((".", "!", "?")):
        summary += "."
    if len(summary) > MOST_SUMMARY or not summary.isprintable() or set(summary) & set('"\\`'):
        raise InputError(
            f"The summary {summary[:90]!r} can't be used.",
            hint=f"One sentence, at most {MOST_SUMMARY} characters, without quotes and backslash.",
        )
    return summary


def write(scaffold: Scaffold) -> list[Path]:
    """Writes the files; when anything goes wrong, all is as it was before.

    Args:
        scaffold: What to write.

    Returns:
        The files, new ones first.

    Raises:
        AllotropeError: A file can't be written; nothing is left behind.
    """
    before: dict[Path, bytes] = {}
    made: list[Path] = []
    folders: list[Path] = []
    try:
        for relative, text in scaffold.created.items():
            path = scaffold.folder / relative
            missing = [folder for folder in path.parents if not folder.exists()]
            for folder in reversed(missing):
                folder.mkdir()
                folders.append(folder)
            with path.open("x", encoding="utf-8", newline="\n") as file:
                made.append(path)
                file.write(text)
        for relative, text in scaffold.changed.items():
            path = scaffold.folder / relative
            before[path] = path.read_bytes()
            path.write_text(text, encoding="utf-8", newline="\n")
    except BaseException as exc:
        for path, content in before.items():
            path.write_bytes(content)
        for path in made:
            path.unlink(missing_ok=True)
        for folder in reversed(folders):
            folder.rmdir()
        if isinstance(exc, OSError):
            raise AllotropeError(
                f"{exc.filename} can't be written: {exc.strerror}.", hint="Nothing was changed."
            ) from exc
        raise
    return [*made, *before]


def _joins(clone: Path, words: Mapping[str, str]) -> Scaffold:
    """A new agent of the project itself."""
    name = words["name"]
    created = {
        f"agents/{name}.py": _filled("spec.py", words),
        f"graphs/{name}.py": _filled("graph.py", words),
        f"tests/agents/test_{name}.py": _filled("test.py", words),
    }
    registry = (clone / "agents/registry.py").read_text(encoding="utf-8")
    changed = {
        "agents/registry.py": _registered(registry, name),
        "langgraph.json": _served((clone / "langgraph.json").read_text(encoding="utf-8"), words),
    }
    page = clone / "docs" / "agents.md"
    if page.is_file():
        text = page.read_text(encoding="utf-8")
        section = "\n" + _filled("section.md", words).rstrip("\n") + "\n"
        before, found, after = text.partition(_LAST_SECTION)
        changed["docs/agents.md"] = before.rstrip("\n") + "\n" + section + found + after
    templates = _prompted(clone / "prompts" / "templates", words)
    for file, text in templates.items():
        path = f"prompts/templates/{file}"
        (created if file.endswith(".md") else changed)[path] = text
    return Scaffold(
        name=name,
        folder=clone,
        clone=True,
        created=created,
        changed=changed,
        next_steps=(
            f"pytest tests/agents/test_{name}.py",
            f'allotrope ask {name} "What can you do?"',
            f"allotrope chat {name}",
        ),
    )


def _own_package(where: Path, words: Mapping[str, str]) -> Scaffold:
    """A package of its own, for those who installed Allotrope."""
    name = words["name"]
    top = f"{name}_agent"
    if (where / top).exists():
        raise InputError(f"{where / top} exists already.", hint="Take another name.")
    inner = f"{top}/{top}"
    created = {
        f"{top}/pyproject.toml": _filled("own_pyproject.toml", words),
        f"{top}/README.md": _filled("own_readme.md", words),
        f"{top}/langgraph.json": _filled("own_langgraph.json", words),
        f"{inner}/__init__.py": f'"""The agent `{name}`."""\n',
        f"{inner}/py.typed": "",
        f"{inner}/spec.py": _filled("own_spec.py", words),
        f"{inner}/graph.py": _filled("graph.py", words),
        f"{top}/tests/conftest.py": _filled("own_conftest.py", words),
        f"{top}/tests/test_{name}.py": _filled("test.py", words),
    }
    for file, text in _prompted(None, words).items():
        created[f"{inner}/prompts/{file}"] = text
    return Scaffold(
        name=name,
        folder=where,
        clone=False,
        created=created,
        next_steps=(
            f"cd {top}",
            "pip install -e '.[dev]'",
            "pytest",
            f'allotrope ask {name} "What can you do?"',
        ),
    )


def _filled(file: str, words: Mapping[str, str]) -> str:
    text = (resources.files("allotrope") / "scaffolds" / f"{file}.txt").read_text(encoding="utf-8")
    return Template(text).substitute(words)


def _registered(registry: str, name: str) -> str:
    """The registry's text with one more agent, in order."""
    found = _AGENTS.search(registry)
    if found is None:
        raise InputError("agents/registry.py has no tuple AGENTS.", hint="Is the clone whole?")
    agents = sorted({*ast.literal_eval(found[1]), name})
    line = "AGENTS = (" + ", ".join(f'"{one}"' for one in agents) + ")"
    if len(line) > 100:
        line = "AGENTS = (\n" + "".join(f'    "{one}",\n' for one in agents) + ")"
    return registry[: found.start()] + line + registry[found.end() :]


def _served(text: str, words: Mapping[str, str]) -> str:
    """`langgraph.json` with one more graph, in order."""
    config = json.loads(text)
    graphs = config["graphs"] | {
        words["name"]: {
            "path": f"allotrope.graphs.{words['name']}:graph",
            "description": words["summary"],
        }
    }
    config["graphs"] = {name: graphs[name] for name in sorted(graphs)}
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def _prompted(templates: Path | None, words: Mapping[str, str]) -> dict[str, str]:
    """The files of a templates folder that change when the agent's prompt goes live in it.

    The prompt library does it, lint and lock included, in a copy of the folder.
    """
    from allotrope.prompts.library import PromptLibrary
    from allotrope.prompts.manage import promote
    from allotrope.prompts.stores.sources import FolderSource

    name = words["name"]
    with tempfile.TemporaryDirectory(prefix="allotrope-new-") as made:
        folder = Path(made) / "templates"
        if templates is None:
            folder.mkdir()
        else:
            shutil.copytree(templates, folder)
        source = FolderSource(folder, settle_s=0.0)
        library = PromptLibrary([source])
        if name in library.snapshot.versions:
            raise InputError(f"There is a prompt {name!r} already.", hint="Take another name.")
        source.write(f"{name}@1", _filled("prompt.md", words))
        library.refresh()
        promote(library, f"{name}@1")
        changed = (f"{name}@1.md", "labels.yaml", "lock.yaml")
        return {file: (folder / file).read_text(encoding="utf-8") for file in changed}


def _version() -> str:
    from importlib.metadata import PackageNotFoundError

    try:
        return version_of("allotrope")
    except PackageNotFoundError:
        return "0.1.0"
