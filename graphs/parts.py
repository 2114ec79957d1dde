"""What the nodes of a graph work with, opened once per process from the settings."""

import importlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from allotrope.exceptions import SettingsError
from allotrope.settings import Settings, load_settings

if TYPE_CHECKING:
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages import AIMessage
    from langchain_core.runnables import Runnable
    from langchain_core.tools import BaseTool

    from allotrope.models.chat import FailoverChain
    from allotrope.prompts.library import PromptLibrary


class Parts:
    """The collaborators of a graph's nodes; each is made at its first use and kept.

    Args:
        settings: Where to find models and stores.
        library: The prompt templates; default: those of the settings.
        chain_of: Makes the chain of a profile; default: that of the settings. For tests and for
            models of your own.
        callbacks: Handlers put on every model call; default: those the settings name.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        library: "PromptLibrary | None" = None,
        chain_of: "Callable[[str | None], FailoverChain] | None" = None,
        callbacks: "Sequence[BaseCallbackHandler] | None" = None,
    ) -> None:
        self.settings = settings
        self._library = library
        self._chain_of = chain_of
        self._callbacks = None if callbacks is None else list(callbacks)
        self._chains: dict[str | None, FailoverChain] = {}
        self._bound: dict[tuple[str | None, tuple[str, ...]], Runnable[Any, AIMessage]] = {}
        self._lock = threading.RLock()

    @property
    def library(self) -> "PromptLibrary":
        """The prompt templates."""
        with self._lock:
            if self._library is None:
                from allotrope.prompts import open_library

                self._library = open_library(self.settings)
            return self._library

    @property
    def callbacks(self) -> "list[BaseCallbackHandler]":
        """The handlers that watch every model call."""
        with self._lock:
            if self._callbacks is None:
                self._callbacks = [named(name)(self.settings) for name in self.settings.callbacks]
            return self._callbacks

    def chain(self, profile: str | None) -> "FailoverChain":
        """The chain of a profile.

        Args:
            profile: Its name; None: the default.
        """
        with self._lock:
            chain = self._chains.get(profile)
            if chain is None:
                chain = self._chains[profile] = (self._chain_of or self._open_chain)(profile)
            return chain

    def bound(
        self, profile: str | None, tools: "Sequence[BaseTool]" = ()
    ) -> "Runnable[LanguageModelInput, AIMessage] | None":
        """As `model`, but None where it isn't made yet; for callers that must not block."""
        if not tools:
            return self._chains.get(profile)
        return self._bound.get((profile, tuple(tool.name for tool in tools)))

    def model(
        self, profile: str | None, tools: "Sequence[BaseTool]" = ()
    ) -> "Runnable[LanguageModelInput, AIMessage]":
        """The chain of a profile with tools bound; bound once per set of tools."""
        chain = self.chain(profile)
        if not tools:
            return chain
        key = (profile, tuple(tool.name for tool in tools))
        with self._lock:
            bound = self._bound.get(key)
            if bound is None:
                bound = self._bound[key] = chain.bind_tools(list(tools))
            return bound

    def _open_chain(self, profile: str | None) -> "FailoverChain":
        from allotrope.models.chat import build_chain

        return build_chain(self.settings, callbacks=self.callbacks)


def named(name: str) -> Any:
    """The object a name points to: how a room gets a part of a higher one without importing it.

    Args:
        name: `package.module:attribute`.

    Raises:
        SettingsError: It can't be imported.
    """
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as exc:
        raise SettingsError(
            f"{name!r} can't be imported: {exc}.", hint="Write it as package.module:attribute."
        ) from exc


@dataclass
class LazyParts:
    """Parts of the process's own settings, opened at the first run and not at import.

    Args:
        given: Parts to use instead.
    """

    given: Parts | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def get(self) -> Parts:
        """The parts; reads the settings at the first call."""
        if self.given is None:
            with self._lock:
                if self.given is None:
                    self.given = Parts(load_settings())
        return self.given

    async def aget(self) -> Parts:
        """As `get`; the first call runs in a thread, so the event loop is never blocked."""
        if self.given is None:
            import asyncio

            return await asyncio.to_thread(self.get)
        return self.given
