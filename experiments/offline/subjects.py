"""Agents as subjects of an experiment: one agent per variant, with the variant's settings."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol, Self
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import LLMResult

from allotrope.agents.registry import find
from allotrope.contracts import STAMP, Metadata
from allotrope.exceptions import AllotropeError
from allotrope.experiments.dataset import Item
from allotrope.experiments.definition import Experiment, Variant
from allotrope.experiments.offline.judge import Ask, Said
from allotrope.experiments.offline.outcome import Outcome
from allotrope.settings import Settings
from allotrope.usage.prices.prices import PriceBook
from allotrope.usage.recorder.tokens import from_usage_metadata

if TYPE_CHECKING:
    from allotrope.prompts.library import PromptLibrary
    from allotrope.prompts.template import PromptTemplateVersion

FRESH = "no-store, no-cache"
"""The run's cache policy: repeats must be answers of their own."""


USED = frozenset({"sent"})
"""What may become of a variant's parameter; translated or left out, it would test nothing."""


class Askable(Protocol):
    """What `allotrope.build_agent` gives."""

    async def aask(
        self, text: str, *, thread_id: str | None = None, context: Mapping[str, Any] | None = None
    ) -> Any:
        """Answers one question with a `Reply`."""
        ...


class BuildAgent(Protocol):
    """The shape of `allotrope.agents.agent.build_agent`."""

    def __call__(self, name: str, *, settings: Settings, checkpointer: Any) -> Any:
        """An agent that is an async context manager and `Askable`."""
        ...


class AgentSubject:
    """Asks the agent of an experiment, the way each variant says.

    Each question is a thread of its own, kept in memory only. Use it as an async context manager.

    Args:
        agent: The agent type.
        settings: Where models and stores are.
        build: `allotrope.agents.agent.build_agent`; handed in, so that a test can give another.
        experiment: The experiment's name, for the ledger's variant column.
        cache: The run's cache policy; by default nothing is read from or kept in the cache.
        settings_of: Settings of a variant's own, where variants differ in more than a profile holds
            (another provider); default: `settings` for all.
    """

    def __init__(
        self,
        agent: str,
        settings: Settings,
        *,
        build: BuildAgent,
        experiment: str = "",
        cache: str = FRESH,
        settings_of: Callable[[Variant], Settings] | None = None,
    ) -> None:
        self._agent = agent
        self._settings_of = settings_of or (lambda _: settings)
        self.settings = settings
        self._build = build
        self._experiment = experiment
        self._cache = cache
        self._ready: dict[str, Askable] = {}
        self._prompts: dict[str, int] = {}
        self._pins: dict[str, str] = {}
        self._expected: dict[str, str] = {}
        self._profiles = ProfilesUsed()
        self._opening = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._judge: Any = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()
        self._ready.clear()

    async def __call__(self, item: Item, variant: Variant, *, repeat: int) -> Outcome:
        """Answers an item."""
        async with self._opening:
            agent = await self._of(variant)
        reply = await agent.aask(
            item.question,
            context={
                **context_of(variant, self._experiment),
                "prompt_label": self._pins[variant.name],
                "cache": self._cache,
            },
        )
        degraded = reply.degraded["reason"] if reply.degraded else None
        return Outcome(
            # LangChain's texts are callable, and a template takes nothing that is
            answer=str(reply.answer),
            usage=dict(reply.usage),
            cost_usd=reply.cost_usd,
            latency_ms=reply.latency_ms,
            provenance={
                "provider": reply.provider,
                "model": reply.model,
                "cached": reply.cached,
                "degraded": degraded,
                "succession": reply.succession,
                "truncated": reply.truncated,
                "run_id": reply.run_id,
                "prompt": self._prompts[variant.name],
                **self._profiles.told(reply.run_id, expected=self._expected[variant.name]),
            },
        )

    def _pinned(self, label: str) -> dict[str, int]:
        from allotrope.prompts import open_library

        library = open_library(self.settings)
        try:
            return pins_of(library, self._agent, label)
        finally:
            library.close()

    def judge(self) -> Any:
        """The model of the role `judge`, by the profile `precise`; made once, never cached.

        Nobody stands in for it: verdicts of different models can't be counted together. The model
        that serves the role at the run's begin judges all of it.
        """
        if self._judge is None:
            from allotrope.graphs.parts import Parts
            from allotrope.models.catalogue.lifecycle import lifecycles_of
            from allotrope.models.chain import build_chain
            from allotrope.models.profiles.library import with_profile
            from allotrope.models.profiles.parameters import chain_arguments

            parts = Parts(self.settings)
            self._stack.callback(parts.close)
            profile = parts.profiles.get("precise", agent="judge")
            laid = with_profile(self.settings, profile)
            serving = lifecycles_of(laid).serving(laid.openai.model)
            alone = laid.openai.model_copy(update={"model": serving, "succession": "warn"})
            settings = laid.model_copy(update={"openai": alone})
            profile = profile.model_copy(update={"model": serving})
            self._judge = build_chain(
                settings,
                arguments=chain_arguments(profile, settings),
                callbacks=parts.callbacks,
                function="judge",
            )
        return self._judge

    async def _of(self, variant: Variant) -> Askable:
        if variant.name not in self._ready:
            from langgraph.checkpoint.memory import InMemorySaver

            own = self._settings_of(variant)
            settings = await asyncio.to_thread(with_parameters, own, variant, self._agent)
            agent = self._build(self._agent, settings=settings, checkpointer=InMemorySaver())
            # A label may be moved while a run lasts; all its answers get the same version.
            label = context_of(variant, "").get("prompt_label", settings.prompts.label)
            pins = await asyncio.to_thread(self._pinned, label)
            self._prompts[variant.name] = pins[find(self._agent).prompt]
            self._pins[variant.name] = ", ".join(f"{name}@{v}" for name, v in pins.items())
            self._expected[variant.name] = await asyncio.to_thread(
                profile_name, variant, settings, self._agent
            )
            callbacks = getattr(getattr(agent, "parts", None), "callbacks", None)
            if isinstance(callbacks, list):
                callbacks.append(self._profiles)
            self._ready[variant.name] = await self._stack.enter_async_context(agent)
        return self._ready[variant.name]


class ProfilesUsed(BaseCallbackHandler):
    """Notes each run's profile (a budget may switch it) and the tools that its model called."""

    run_inline = True

    def __init__(self) -> None:
        self._seen: dict[str, set[str]] = {}
        self._tools: dict[str, list[dict[str, Any]]] = {}
        self._runs: dict[UUID, str] = {}
        self._lock = threading.Lock()

    def on_chat_model_start(
        self, serialized: Any, messages: Any, *, run_id: UUID, metadata: Any = None, **kwargs: Any
    ) -> None:
        """Notes the profile of one call of a variant."""
        given = metadata or {}
        run, profile = given.get(Metadata.RUN_ID), given.get(Metadata.PROFILE)
        if run and profile and given.get(Metadata.VARIANT):
            with self._lock:
                self._seen.setdefault(run, set()).add(profile)
                self._runs[run_id] = run

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Notes the tools that a call asked for."""
        with self._lock:
            run = self._runs.pop(run_id, None)
            for generation in response.generations[0][:1] if run and response.generations else ():
                calls = getattr(getattr(generation, "message", None), "tool_calls", ())
                told = [{"name": call["name"], "args": call["args"]} for call in calls]
                self._tools.setdefault(str(run), []).extend(told)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Forgets a call that failed."""
        with self._lock:
            self._runs.pop(run_id, None)

    def told(self, run_id: str, *, expected: str) -> dict[str, Any]:
        """What to keep of a run: its profile, and whether another one than expected answered.

        Args:
            run_id: The run; it is forgotten.
            expected: The variant's profile.
        """
        with self._lock:
            used, tools = self._seen.pop(run_id, set()), self._tools.pop(run_id, [])
        if not used:
            return {}
        told: dict[str, Any] = {"profile": ", ".join(sorted(used))}
        told |= {"tools": tools} if tools else {}
        return told | ({"switched": sorted(used)} if used != {expected} else {})


def context_of(variant: Variant, experiment: str) -> dict[str, Any]:
    """What a run's context gets from a variant.

    Args:
        variant: The variant.
        experiment: The experiment's name.
    """
    context: dict[str, Any] = {"variant": f"{experiment}/{variant.name}"}
    if variant.profile is not None:
        context["profile"] = variant.profile
    if variant.prompt is not None:
        context["prompt_label"] = variant.prompt
    return context


def pins_of(library: "PromptLibrary", agent: str, prompt: str) -> dict[str, int]:
    """The versions of an agent's prompts under a label, to hold on to while labels may move.

    Args:
        library: The prompts.
        agent: The agent type.
        prompt: A label, a number or `name@version`, as a variant names it.

    Raises:
        PromptError: There is no such label or version.
    """
    own = find(agent).prompt
    if "@" in prompt or prompt.isdecimal():
        version = library.get(own, prompt).version
        if "@" not in prompt:
            return {own: version}
        pins = (pin.strip().partition("@")[::2] for pin in prompt.split(","))
        return {own: version} | {name: int(number) for name, number in pins}
    templates = library.snapshot.templates.values()
    names = {own} | {each.name for each in templates if each.meta.agent == agent}
    return {name: library.get(name, prompt).version for name in sorted(names)}


def profile_name(variant: Variant, settings: Settings, agent: str) -> str:
    """The profile with which a variant answers.

    Args:
        variant: The variant.
        settings: For the defaults.
        agent: The agent type.
    """
    from allotrope.models.profiles.library import open_profiles

    profiles = open_profiles(settings)
    try:
        return profiles.get(variant.profile, agent=agent, own=find(agent).profile).name
    finally:
        profiles.close()


def with_parameters(settings: Settings, variant: Variant, agent: str) -> Settings:
    """Settings in which the variant's profile carries its parameters.

    Args:
        settings: The settings.
        variant: The variant.
        agent: The agent type.
    """
    if not variant.parameters:
        return settings
    section = settings.profiles
    name = profile_name(variant, settings, agent)
    fields = {**section.overrides.get(name, {}), **variant.parameters}
    overrides = {**section.overrides, name: fields}
    return settings.with_section("profiles", overrides=overrides)


class VariantCheck:
    """Finds agents, profiles, parameters and prompts that don't exist or that a model refuses.

    Args:
        settings: Which models are in use, and where profiles and prompts are.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def __call__(self, experiment: Experiment) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Fields and complaints."""
        try:
            spec = find(experiment.agent)
        except AllotropeError as exc:
            yield ("agent",), str(exc).rstrip(".")
            return
        from allotrope.prompts import open_library

        library = open_library(self.settings)
        try:
            for index, variant in enumerate(experiment.variants):
                where = ("variants", index)
                yield from self._profile(variant, experiment.agent, where)
                if variant.prompt is not None:
                    name, _, version = variant.prompt.rpartition("@")
                    if name and name != spec.prompt:
                        said = f"{experiment.agent} uses the prompt {spec.prompt}, not {name}"
                        yield (*where, "prompt"), said
                        continue
                    try:
                        library.get(spec.prompt, version)
                    except AllotropeError as exc:
                        yield (*where, "prompt"), str(exc).rstrip(".")
        finally:
            library.close()

    def _profile(
        self, variant: Variant, agent: str, where: tuple[str | int, ...]
    ) -> Iterator[tuple[tuple[str | int, ...], str]]:
        from allotrope.models.profiles.library import open_profiles, with_profile
        from allotrope.models.providers.provider import all_providers

        settings = with_parameters(self.settings, variant, agent)
        profiles = open_profiles(settings)
        field = "parameters" if variant.parameters else "profile"
        try:
            profile = profiles.get(variant.profile, agent=agent, own=find(agent).profile)
            laid = with_profile(settings, profile)
            plans = [
                plan.check()
                for provider in all_providers().values()
                if provider.is_used(laid)
                for plan in provider.plans(profile, laid).values()
            ]
            for note in plans[0].notes if plans else ():  # of the model that is asked first
                if note.parameter in variant.parameters and note.outcome not in USED:
                    said = f"{note.why.rstrip('.')}; so it would change nothing, or something else"
                    yield (*where, "parameters", note.parameter), said
        except AllotropeError as exc:
            yield (*where, field), str(exc).rstrip(".")
        finally:
            profiles.close()


def agent_judge(subject: AgentSubject, template: "PromptTemplateVersion | None" = None) -> Ask:
    """A judging model: the subject's own chain without the agent around it.

    Args:
        subject: Whose settings are used.
        template: Which prompt is sent, for the ledger.
    """
    metadata = {Metadata.AGENT: "judge", Metadata.CACHE: FRESH}
    if template is not None:
        metadata[Metadata.PROMPT] = template.ref
    prices = PriceBook(subject.settings.usage.prices)

    async def ask(prompt: Sequence[BaseMessage]) -> Said:
        model = await asyncio.to_thread(subject.judge)
        reply = await model.ainvoke(list(prompt), {"metadata": metadata})
        return Said(reply.text, cost_of(reply, prices))

    return ask


def cost_of(reply: AIMessage, prices: PriceBook) -> Decimal | None:
    """What a model's reply cost, in USD; None where no price is known.

    Args:
        reply: With its usage and provenance (docs/contracts.md).
        prices: What models cost.
    """
    provenance = reply.response_metadata.get(STAMP) or {}
    if provenance.get("cached"):
        return Decimal(0)
    tokens = from_usage_metadata(reply.usage_metadata or {})
    if tokens is None or "model" not in provenance:
        return None
    tier = str(reply.response_metadata.get("service_tier") or "default")
    return prices.cost(provenance["provider"], provenance["model"], tokens, tier=tier)
