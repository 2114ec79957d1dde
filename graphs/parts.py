"""What the nodes of a graph work with, opened once per process from the settings."""

import importlib
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from allotrope.contracts import Metadata
from allotrope.exceptions import ProfileError, SettingsError
from allotrope.settings import Settings, load_settings
from allotrope.stores.errors import error_name
from allotrope.support.pools import UPKEEP

if TYPE_CHECKING:
    from langchain_core.caches import BaseCache
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages import AIMessage
    from langchain_core.runnables import Runnable
    from langchain_core.tools import BaseTool

    from allotrope.graphs.context import RunContext
    from allotrope.memory.memory import ConversationMemory
    from allotrope.models.chain import FailoverChain
    from allotrope.models.profiles.library import ProfileLibrary
    from allotrope.models.profiles.profile import Profile
    from allotrope.prompts.context import ContextInjector
    from allotrope.prompts.library import PromptLibrary

T = TypeVar("T")

TOOL_SETS = 256
"""Sets of tools whose schemas are kept; then the oldest goes."""


logger = logging.getLogger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


class ToolSets(Generic[T]):
    """What was made of sets of tools. Tools of one name may differ: the objects count."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], tuple[Sequence[BaseTool], T]] = {}

    def get(self, tools: "Sequence[BaseTool]", more: Any = None) -> T | None:
        """What was made of these tools (and of `more`), if anything was."""
        found = self._kept.get((more, *map(id, tools)))
        return None if found is None else found[1]

    def put(self, tools: "Sequence[BaseTool]", more: Any, made: T) -> T:
        """Keeps it, and the tools, whose ids no other object gets meanwhile."""
        self._kept[(more, *map(id, tools))] = (tuple(tools), made)
        if len(self._kept) > TOOL_SETS:
            del self._kept[next(iter(self._kept))]
        return made


class Parts:
    """The collaborators of a graph's nodes; each is made at its first use and kept.

    Args:
        settings: Where to find models and stores.
        library: The prompt templates; default: those of the settings.
        chain_of: Makes the chain of a profile; default: that of the settings. For tests and for
            models of your own.
        callbacks: Handlers put on every model call; default: those the settings name.
        memory: Keeps conversations; default: that of the settings.
        clock: The time of day, with a time zone.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        library: "PromptLibrary | None" = None,
        chain_of: "Callable[[Profile], FailoverChain] | None" = None,
        callbacks: "Sequence[BaseCallbackHandler] | None" = None,
        memory: "ConversationMemory | None" = None,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self._injector: ContextInjector | None = None
        self._library = library
        self._own_library = library is None
        self._chain_of = chain_of
        self._callbacks = None if callbacks is None else list(callbacks)
        self._memory = memory
        self._profiles: ProfileLibrary | None = None
        self._cache: BaseCache | None = None
        self._chains: dict[Profile, FailoverChain] = {}
        self._windows: dict[int, int | None] = {}
        self._bound: ToolSets[Runnable[Any, AIMessage]] = ToolSets()
        self._schemas: ToolSets[list[dict[str, Any]]] = ToolSets()
        self._is_ready = False
        self._switch_told = ""
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
    def injector(self) -> "ContextInjector":
        """Fills the context slots of templates."""
        with self._lock:
            if self._injector is None:
                from allotrope.prompts.context import ContextInjector

                self._injector = ContextInjector(count=lambda text: self.memory.counter.text(text))
            return self._injector

    @property
    def ready(self) -> bool:
        """Whether prompts and profiles are read; until then they block the event loop."""
        return self._is_ready

    def make_ready(self) -> None:
        """Reads prompts and profiles, which then follow changes by themselves; opens the memory."""
        _ = self.library.snapshot, self.profiles.names(), self.memory
        self._set_up_border()
        self._is_ready = True

    def _set_up_border(self) -> None:
        """Tells the border to models its secret, and the embedded model's own tokens."""
        from allotrope.models.providers.gguf import PACKAGED_TOKENS, control_tokens
        from allotrope.stores.fence_secret import fence_secret
        from allotrope.support.fencing import learn_tokens, use_secret

        use_secret(fence_secret(self.settings))
        own = self.settings.embedded
        if own.enabled:
            read = control_tokens(own.model_path) if own.model_path else PACKAGED_TOKENS
            learn_tokens(read)

    def reload(self, settings: Settings) -> None:
        """Takes other keys, models, profiles and prompts; calls under way end with the old ones.

        Stores, handlers and the cache stay as they are. It reads files, so call it in a thread.

        Args:
            settings: What holds from now on.

        Raises:
            AllotropeError: Prompts or profiles can't be read; then nothing changes.
        """
        from allotrope.models.profiles.library import open_profiles
        from allotrope.prompts import open_library

        library = open_library(settings) if self._own_library else self.library
        profiles = open_profiles(settings)
        _ = library.snapshot, profiles.names()
        with self._lock:
            self.settings = settings
            self._library, self._profiles = library, profiles
            self._chains, self._windows = {}, {}
            self._bound = ToolSets()

    @property
    def callbacks(self) -> "list[BaseCallbackHandler]":
        """The handlers that watch every model call."""
        with self._lock:
            if self._callbacks is None:
                made = [named(name)(self.settings) for name in self.settings.callbacks]
                self._callbacks = [
                    handler
                    for one in made
                    for handler in (one if isinstance(one, list | tuple) else (one,))
                ]
            return self._callbacks

    def advised_profile(self, **names: str | None) -> str | None:
        """The profile that a budget asks for instead of the run's own, if one does.

        A switch that isn't possible fails no turn: the profile may be gone since the start, or the
        budgets' stores may not answer.

        Args:
            names: Who asks: `agent`, `tenant`, `user`, `thread`.
        """
        for handler in self.callbacks:
            budgets = getattr(handler, "budgets", None)
            if budgets is None:
                continue
            given = {key: value or "" for key, value in names.items()}
            try:
                advice = budgets.directive(given)
                if advice.action != "switch_profile":
                    return None
                self.profiles.get(advice.profile, agent=given.get("agent"))
            except Exception as exc:  # noqa: BLE001 - whatever it is, the turn goes on
                self._tell_of_switch(exc)
                return None
            return str(advice.profile)
        return None

    def profile_of(self, context: "RunContext", *, agent: str, own: str | None) -> "Profile":
        """The profile of a run: the one that its context names, else the agent's own.

        One that an experiment names, and that isn't here, fails no turn: the process may read it a
        moment later than the experiment.

        Args:
            context: The run's.
            agent: The agent type.
            own: The profile that the agent names for itself.

        Raises:
            ProfileError: A caller named one that there isn't, or it is broken.
        """
        try:
            return self.profiles.get(context.profile, agent=agent, own=own)
        except ProfileError as exc:
            if context.variant is None:
                raise
            logger.warning("%s can't be had, the run goes on with %s's own: %s",
                           context.variant, agent, exc)  # fmt: skip
            return self.profiles.get(agent=agent, own=own)

    def _tell_of_switch(self, exc: Exception) -> None:
        """Says once that a budget's switch failed, as long as it fails the same way."""
        told = str(exc) if isinstance(exc, ProfileError) else error_name(exc)
        if told != self._switch_told:
            self._switch_told = told
            logger.warning(
                "A budget's switch to another profile failed (%s); the run goes on with its own.",
                told,
            )

    def chain(self, profile: "Profile") -> "FailoverChain":
        """The chain of a profile; made once, and anew when the profile has changed."""
        with self._lock:
            chain = self._chains.get(profile)
            if chain is None:
                chain = (self._chain_of or self._open_chain)(profile)
                self._chains[profile] = chain
            return chain

    def window(self, profile: "Profile") -> int | None:
        """Tokens a prompt may have for the largest model of a chain; None where one is unknown."""
        chain = self.chain(profile)
        if id(chain) not in self._windows:
            from allotrope.models.call.window import window_of

            windows = [window_of(model) for model in chain.runnables]
            known = [window.prompt for window in windows if window is not None]
            largest = max(known, default=None) if len(known) == len(windows) else None
            self._windows[id(chain)] = largest
        return self._windows[id(chain)]

    def bound(
        self, profile: "Profile", tools: "Sequence[BaseTool]" = ()
    ) -> "Runnable[LanguageModelInput, AIMessage] | None":
        """As `model`, but None where it isn't made yet; for callers that must not block."""
        if not tools:
            return self._chains.get(profile)
        return self._bound.get(tools, profile)

    def model(
        self, profile: "Profile", tools: "Sequence[BaseTool]" = ()
    ) -> "Runnable[LanguageModelInput, AIMessage]":
        """The chain of a profile with tools bound; bound once per set of tools."""
        chain = self.chain(profile)
        if not tools:
            return chain
        with self._lock:
            bound = self._bound.get(tools, profile)
            if bound is None:
                bound = self._bound.put(tools, profile, chain.bind_tools(list(tools)))
            return bound

    @property
    def memory(self) -> "ConversationMemory":
        """The memory of all threads; its archive is opened at the first turn."""
        with self._lock:
            if self._memory is None:
                from allotrope.memory.opening import open_memory

                # the embedded model is too small to write summaries; then rules extract them
                able = (
                    self.settings.openai.api_key is not None or not self.settings.embedded.enabled
                )
                self._memory = open_memory(
                    self.settings, summarise=self._summarise if able else None
                )
            return self._memory

    def close(self, *, timeout_s: float = 2.0) -> None:
        """Ends what runs in the background and closes connections; a later use opens them anew.

        Args:
            timeout_s: How long to wait for what runs, seconds.
        """
        with self._lock:
            memory, self._memory = self._memory, None
        if memory is not None:
            memory.close(timeout_s=timeout_s)
        close = getattr(self._cache, "close", None)  # ours has one; LangChain's own have none
        if close is not None:
            close()

    async def aclose(self, *, timeout_s: float = 2.0) -> None:
        """As `close`, with the cache's connections of the running event loop."""

        aclose = getattr(self._cache, "aclose", None)
        if aclose is not None:
            await aclose()
        await UPKEEP.run(self.close, timeout_s=timeout_s)

    def _summarise(self, previous: str, transcript: str) -> str:
        """Asks the cheap model for a summary, with the template `summariser`."""
        from allotrope.memory.summary.summariser import SUMMARISED
        from allotrope.support.fencing import Untrusted

        tenant, thread = SUMMARISED.get((self.settings.tenant, ""))
        template = self.library.get("summariser")
        profile = self.profiles.get("economical")
        values = {"previous": Untrusted(previous), "transcript": Untrusted(transcript)}
        metadata = {
            Metadata.AGENT: "summariser",
            Metadata.PROFILE: profile.name,
            Metadata.PROMPT: template.ref,
            Metadata.TENANT: tenant,
            # each summary is of messages that no other call sees: a cache would only fill
            Metadata.CACHE: profile.cache_directive("no-store, no-cache"),
        }
        if thread:
            metadata["thread_id"] = thread
        if profile.max_cost is not None:
            metadata[Metadata.MAX_COST_USD] = profile.max_cost
        reply = self.chain(profile).invoke(template.render(values), {"metadata": metadata})
        return reply.text

    def tool_schemas(self, tools: "Sequence[BaseTool]") -> list[dict[str, Any]]:
        """The schemas of tools as a provider gets them; made once per set of tools."""
        from langchain_core.utils.function_calling import convert_to_openai_tool

        with self._lock:
            schemas = self._schemas.get(tools)
            if schemas is None:
                schemas = [convert_to_openai_tool(tool) for tool in tools]
                self._schemas.put(tools, None, schemas)
            return schemas

    @property
    def profiles(self) -> "ProfileLibrary":
        """The parameter profiles."""
        with self._lock:
            if self._profiles is None:
                from allotrope.models.profiles.library import open_profiles

                self._profiles = open_profiles(self.settings)
            return self._profiles

    @property
    def cache(self) -> "BaseCache | None":
        """The answer cache, or None where it is off."""
        with self._lock:
            if self._cache is None and self.settings.cache.enabled:
                from allotrope.models.cache import open_cache

                self._cache = open_cache(self.settings)
            return self._cache

    def _open_chain(self, profile: "Profile") -> "FailoverChain":
        from allotrope.models.chain import build_chain
        from allotrope.models.profiles.library import with_profile
        from allotrope.models.profiles.parameters import chain_arguments

        settings = with_profile(self.settings, profile)
        return build_chain(
            settings,
            arguments=chain_arguments(profile, settings),
            cache=self.cache,
            callbacks=self.callbacks,
        )


def named(name: str) -> Any:
    """The object a name points to: how a package gets a part of a higher one without importing it.

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
            return await UPKEEP.run(self.get)
        return self.given
