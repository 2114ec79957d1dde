"""From a profile to what is really sent to one model: kept, translated, left out, or refused.

Nothing is dropped in silence: each parameter of the profile ends in a note of the plan.

- `sent`: as the profile has it.
- `translated`: the model has another way to the same end. Sampling parameters on a reasoning model
  become the profile's effort and style; an effort or length above the model's limit becomes the
  limit.
- `left out`: the profile calls the parameter optional, or the model is a fallback (a fallback that
  is less exact beats no answer).
- `refused`: anything else. The profile is not used with that model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from allotrope.exceptions import ProfileError
from allotrope.models.catalogue.entries import Catalogue, open_catalogue
from allotrope.models.profiles.profile import Profile
from allotrope.models.providers.capabilities import (
    SAMPLING,
    Capabilities,
    Parameter,
    capabilities_of,
    table_row,
)
from allotrope.models.providers.provider import Provider, all_providers, provider_named
from allotrope.settings import Settings

Outcome = Literal["sent", "translated", "left out", "refused"]
_ORDER = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True)
class Note:
    """What became of one parameter.

    Attributes:
        parameter: Which one.
        value: The profile's value.
        outcome: What became of it.
        why: A sentence; empty for what is sent as it is.
    """

    parameter: Parameter
    value: Any
    outcome: Outcome
    why: str = ""


@dataclass(frozen=True)
class ParameterPlan:
    """What a profile means for one model.

    Attributes:
        profile: The profile's name.
        model: The model's name.
        provider: `openai`, `ollama` or `embedded`.
        arguments: Constructor arguments for the chat model class.
        notes: One per parameter of the profile.
        capabilities: What the model accepts.
    """

    profile: str
    model: str
    provider: str
    arguments: Mapping[str, Any]
    notes: tuple[Note, ...]
    capabilities: Capabilities

    @property
    def refused(self) -> tuple[Note, ...]:
        """The parameters that make the profile unusable with this model."""
        return tuple(note for note in self.notes if note.outcome == "refused")

    def check(self) -> "ParameterPlan":
        """The plan itself.

        Raises:
            ProfileError: The model refuses a parameter that nothing can stand for.
        """
        if not self.refused:
            return self
        told = " ".join(note.why for note in self.refused)
        names = ", ".join(note.parameter for note in self.refused)
        raise ProfileError(
            f"The profile {self.profile!r} can't be used with {self.model}. {told}",
            hint=f"Take {names} out, list it under `optional`, or choose another model.",
        )


def plan_for(
    profile: Profile,
    model: str,
    provider: str = "openai",
    *,
    fallback: bool | None = None,
    longest: int | None = None,
    stands_for: str | None = None,
    catalogue: Catalogue | None = None,
) -> ParameterPlan:
    """Works out what to send.

    Args:
        profile: The wishes.
        model: The model's name.
        provider: `openai`, `ollama` or `embedded`.
        fallback: Whether what the model refuses is left out instead of refused; default: for
            every provider but OpenAI.
        longest: Longest answer in tokens that the settings allow this model.
        stands_for: The model it takes over from: its prompts get no longer than that one's were.
        catalogue: Another one than the packaged.
    """
    capabilities = capabilities_of(
        model, provider=provider, assume=profile.assume, catalogue=catalogue
    )
    if longest is not None:
        own = capabilities.max_output_tokens or longest
        capabilities = replace(capabilities, max_output_tokens=min(longest, own))
    known = provider_named(provider)
    lenient = not known.strict if fallback is None else fallback
    arguments: dict[str, Any] = {}
    notes: list[Note] = []
    for parameter, value in profile.set_parameters().items():
        note, sent = _one(profile, parameter, value, capabilities, lenient=lenient)
        notes.append(note)
        if sent is not None:
            _put(arguments, known, parameter, sent)
    before = capabilities_of(stands_for, catalogue=catalogue) if stands_for else None
    arguments = known.completed(arguments, profile, capabilities, before)
    return ParameterPlan(
        profile=profile.name,
        model=model,
        provider=provider,
        arguments=arguments,
        notes=tuple(notes),
        capabilities=capabilities,
    )


def arguments_for(profile: Profile, model: str, provider: str = "openai") -> dict[str, Any]:
    """Constructor arguments of `ChatOpenAI` or `ChatOllama` for a profile.

    Args:
        profile: The wishes.
        model: The model's name.
        provider: `openai`, `ollama` or `embedded`.

    Raises:
        ProfileError: The model refuses a parameter that nothing can stand for.
    """
    return dict(plan_for(profile, model, provider).check().arguments)


def chain_plans(profile: Profile, settings: Settings) -> dict[str, ParameterPlan]:
    """The plans for all models of the chain, by provider.

    A fallback's answer is kept as short as its settings say, whatever the profile wishes.

    Args:
        profile: The wishes.
        settings: Models and limits; the profile's own model wins for OpenAI.

    Returns:
        `openai`, `openai/NAME` for each successor of its model, `ollama` and `embedded`.
    """
    return {
        name: plan
        for provider in all_providers().values()
        for name, plan in provider.plans(profile, settings).items()
    }


def line_plans(profile: Profile, settings: Settings) -> dict[str, ParameterPlan]:
    """The plans for OpenAI's model, under `openai`, and its successors, under `openai/NAME`.

    Args:
        profile: The wishes.
        settings: The profile's own model wins over theirs.
    """
    model = profile.model or settings.openai.model
    catalogue = open_catalogue(settings.openai.catalogue)
    first, *successors = line_of(settings, model)
    plans = {
        name_in_chain(name): plan_for(
            profile, name, "openai", fallback=True, stands_for=model, catalogue=catalogue
        )
        for name in successors
    }
    return {"openai": plan_for(profile, first, "openai", catalogue=catalogue), **plans}


def name_in_chain(model: str) -> str:
    """The key of a successor's plan and arguments: `openai/gpt-6.1-sol`."""
    return f"openai/{model}"


def line_of(settings: Settings, model: str) -> tuple[str, ...]:
    """A model and its successors, as the settings' succession and catalogue have them."""
    from allotrope.models.catalogue.lifecycle import lifecycles_of

    return lifecycles_of(settings).line(model)


def endpoint_arguments(model: str) -> dict[str, Any]:
    """Constructor arguments of `ChatOpenAI` for the API that a model needs; none where any will do.

    Args:
        model: Its name.
    """
    if capabilities_of(model).endpoint != "responses":
        return {}
    return {"use_responses_api": True, "output_version": "responses/v1"}


def carried_over(arguments: Mapping[str, Any], model: str, stands_for: str) -> dict[str, Any]:
    """Constructor arguments of `ChatOpenAI` for a successor, from those of its predecessor.

    Args:
        arguments: Of the predecessor.
        model: The successor.
        stands_for: The predecessor.
    """
    ours = {name: parameter for parameter, name in provider_named("openai").names.items()} | {
        "max_tokens": "max_output_tokens",
        "stop": "stop",
    }
    wishes = {ours[name]: value for name, value in arguments.items() if name in ours}
    profile = Profile.model_validate(
        {"name": "carried", "description": "Arguments of the predecessor.", **wishes}
    )
    plan = plan_for(profile, model, "openai", fallback=True, stands_for=stands_for)
    others = {
        name: value
        for name, value in arguments.items()
        if name not in ours and name not in ("profile", "model", "model_name", "model_kwargs")
    }
    return {**others, **plan.arguments}


def chain_arguments(profile: Profile, settings: Settings) -> dict[str, dict[str, Any]]:
    """Constructor arguments by provider, as `build_chain(arguments=…)` takes them.

    Raises:
        ProfileError: The OpenAI model refuses a parameter that nothing can stand for (asked only
            when OpenAI is part of the chain).
    """
    plans = chain_plans(profile, settings)
    for name, provider in all_providers().items():
        if provider.strict and provider.is_used(settings):
            plans[name].check()
    return {provider: dict(plan.arguments) for provider, plan in plans.items()}


def _one(
    profile: Profile, parameter: Parameter, value: Any, can: Capabilities, *, lenient: bool
) -> tuple[Note, Any]:
    """The note on one parameter, and the value to send (None: nothing)."""
    if can.takes(parameter, effort=profile.reasoning_effort):
        return _limited(profile, parameter, value, can, lenient=lenient)
    who = f"{can.model} takes no {parameter}"
    if provider_named(can.provider).strict and can.family == "unknown":
        who = (
            f"{can.model} is a model we know nothing of, so {parameter} is not sent "
            f"(list it under `assume` if it takes it)"
        )
    if parameter in SAMPLING and can.reasoning and (profile.style or profile.reasoning_effort):
        stands = [f"effort {profile.reasoning_effort}"] if profile.reasoning_effort else []
        stands += [f"the style {profile.style!r}"] if profile.style else []
        verb = "stand" if len(stands) > 1 else "stands"
        note = f"{who}; {' and '.join(stands)} {verb} for it."
        return Note(parameter, value, "translated", note), None
    if parameter == "verbosity" and profile.style:
        note = f"{who}; the style {profile.style!r} stands for it."
        return Note(parameter, value, "translated", note), None
    if lenient or parameter in profile.optional:
        return Note(parameter, value, "left out", f"{who}."), None
    return Note(parameter, value, "refused", f"{who}."), None


def _limited(
    profile: Profile, parameter: Parameter, value: Any, can: Capabilities, *, lenient: bool
) -> tuple[Note, Any]:
    if parameter == "max_output_tokens" and can.max_output_tokens:
        if value > can.max_output_tokens:
            why = f"{can.model} gives at most {can.max_output_tokens:,} tokens."
            return Note(parameter, value, "translated", why), can.max_output_tokens
    elif parameter == "reasoning_effort" and can.efforts and value not in can.efforts:
        nearest = min(
            can.efforts, key=lambda e: (abs(_ORDER.index(e) - _ORDER.index(value)), e != "low")
        )
        why = f"{can.model} knows the efforts {', '.join(can.efforts)}; {nearest} is sent."
        return Note(parameter, value, "translated", why), nearest
    elif parameter == "service_tier" and value not in can.tiers and value != "auto":
        why = f"{can.model} has no tier {value}."
        outcome: Outcome = "left out" if lenient or parameter in profile.optional else "refused"
        return Note(parameter, value, outcome, why), None
    return Note(parameter, value, "sent"), value


def _put(arguments: dict[str, Any], provider: Provider, parameter: Parameter, value: Any) -> None:
    if parameter == "response_format":
        if value == "json" and provider.json_argument is not None:
            arguments |= provider.json_argument
        elif value == "json":
            arguments.setdefault("model_kwargs", {})["response_format"] = {"type": "json_object"}
        return
    arguments[provider.names[parameter]] = list(value) if parameter == "stop" else value


def longest_prompt(profile: Profile, can: Capabilities, before: Capabilities | None) -> int | None:
    """Tokens a prompt may have, so that a larger window costs nobody more than before.

    A successor's prompt gets no longer than its predecessor's was, and no prompt reaches the length
    at which the provider asks a higher price, unless the profile's `budget.max_context_tokens` asks
    for more.

    Args:
        profile: Its budget.
        can: What the model accepts.
        before: The same of the model it takes over from.
    """
    limits = (can.max_input_tokens, can.surcharge_above, before and before.max_input_tokens)
    usual = min((limit for limit in limits if limit), default=None)
    asked = profile.budget.max_context_tokens
    if usual is None or asked is None or asked <= usual:
        return usual
    return min(asked, can.max_input_tokens or asked)


def limits_beside(
    profile: Profile, can: Capabilities, before: Capabilities | None
) -> dict[str, Any]:
    """A model's limits, where ChatOpenAI's own table, which knows exact names only, has others.

    Args:
        profile: Its budget.
        can: What the model accepts.
        before: As for `longest_prompt`.
    """
    prompt, row = longest_prompt(profile, can, before), table_row(can.model)
    if row and row.get("max_input_tokens") == prompt:
        return {}
    limits = {
        "max_input_tokens": prompt,
        "max_output_tokens": can.max_output_tokens,
        "tool_calling": can.tools,
        "structured_output": can.structured_output,
        "reasoning_output": can.reasoning,
        "temperature": "temperature" in can.accepts,
    }
    known = {name: value for name, value in limits.items() if value is not None}
    return {"profile": {**table_row(can.known_as), **known}}
