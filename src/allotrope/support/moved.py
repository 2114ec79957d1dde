"""Modules that have moved: their old names go on working for a release, with a warning."""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any

MODULES = {
    "allotrope.counters": "allotrope.support.counters",
    "allotrope.deletion": "allotrope.operations.deletion",
    "allotrope.graphs.answers": "allotrope.graphs.work.answers",
    "allotrope.graphs.packing": "allotrope.graphs.prompt.packing",
    "allotrope.graphs.step_prompt": "allotrope.graphs.prompt.step_prompt",
    "allotrope.graphs.window": "allotrope.graphs.prompt.window",
    "allotrope.logs": "allotrope.operations.logs",
    "allotrope.memory.embeddings": "allotrope.memory.recall.embeddings",
    "allotrope.memory.fit": "allotrope.memory.context.fit",
    "allotrope.memory.threads": "allotrope.memory.checkpoints.threads",
    "allotrope.models.capabilities": "allotrope.models.providers.capabilities",
    "allotrope.models.chat": "allotrope.models.chain",
    "allotrope.models.guard": "allotrope.models.call.guard",
    "allotrope.models.guarded": "allotrope.models.call.guarded",
    "allotrope.models.parameters": "allotrope.models.profiles.parameters",
    "allotrope.models.profile_choices": "allotrope.models.profiles.choices",
    "allotrope.models.profile_library": "allotrope.models.profiles.library",
    "allotrope.models.replies": "allotrope.models.call.replies",
    "allotrope.models.streams": "allotrope.models.call.streams",
    "allotrope.prompts.fencing": "allotrope.support.fencing",
    "allotrope.reply": "allotrope.agents.reply",
    "allotrope.runtime": "allotrope.agents.agent",
    "allotrope.support.run_keys": "allotrope.contracts",
    "allotrope.usage.browse": "allotrope.usage.queries.browse",
    "allotrope.web.credentials": "allotrope.web.access.credentials",
    "allotrope.web.filters": "allotrope.web.dashboard.filters",
    "allotrope.web.housekeeping": "allotrope.web.openai.housekeeping",
    "allotrope.web.studio_auth": "allotrope.web.access.studio_auth",
}
"""What docs/contracts.md named before the move of December 2026, and where it is now."""


class MovedModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a module under its old name; asked only where nothing else is found."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of a module that has moved."""
        if fullname not in MODULES:
            return None
        return importlib.util.spec_from_loader(fullname, self)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """The module itself, from where it is now."""
        new = MODULES[spec.name]
        warnings.warn(f"{spec.name} is {new} now.", DeprecationWarning, stacklevel=2)
        found = types.ModuleType(spec.name)
        found.__dict__.update(vars(importlib.import_module(new)))
        return found

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing: it has run."""


def find_moved_modules() -> None:
    """Lets old names of modules be imported, from now on."""
    if not any(isinstance(finder, MovedModules) for finder in sys.meta_path):
        sys.meta_path.append(MovedModules())


def names_in(package: str, module: str, **elsewhere: str) -> Callable[[str], Any]:
    """A `__getattr__` for a package that was a module of the same name.

    Args:
        package: The package's name.
        module: Where its names are now.
        elsewhere: Names that are in another module, with that module.
    """

    def look(name: str) -> Any:
        new = elsewhere.get(name, module)
        if importlib.util.find_spec(f"{package}.{name}") is not None:
            raise AttributeError(name)  # a module, which `from … import` then finds
        known = {} if name.startswith("__") else vars(importlib.import_module(new))
        if name not in known:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        warnings.warn(f"{package}.{name} is {new}.{name} now.", DeprecationWarning, stacklevel=2)
        return known[name]

    return look
