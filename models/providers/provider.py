"""What models, profiles and breaker need of a provider; `support.providers` lists them all."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from allotrope.exceptions import SettingsError
from allotrope.settings import Settings
from allotrope.support.providers import PROVIDERS

if TYPE_CHECKING:
    from allotrope.models.call.guarded import GuardedChatModel
    from allotrope.models.profiles.parameters import ParameterPlan
    from allotrope.models.profiles.profile import Profile
    from allotrope.models.providers.capabilities import Capabilities

Arguments = Mapping[str, dict[str, Any]]
"""Constructor arguments of models, by the keys that a profile's plans have."""


def _as_they_are(
    arguments: dict[str, Any],
    profile: "Profile",
    can: "Capabilities",
    before: "Capabilities | None",
) -> dict[str, Any]:
    return arguments


def _every_call(settings: Settings) -> Mapping[str, float | None]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Provider:
    """How a provider's models are made, called and limited.

    Attributes:
        is_used: Whether these settings ask it.
        build: Its models of a chain, in the order in which they are asked; nothing is requested.
            Their client has both `_generate` and `_agenerate`: LangChain's own `_agenerate` calls
            the other, which is guarded already.
        models: The names whose circuits these settings may have.
        serving: The model that answers for the primary role now.
        plans: What a profile becomes for each of its models, by the key of their arguments.
        names: Its client's constructor arguments for parameters of a profile.
        accepts: Parameters that all of its models take; None: `capabilities` knows each.
        limits: `first_token_s`, `idle_s` and `total_s` of a call; what is missing is unlimited.
        address: Address and key of the account that its circuits belong to; None: there is one.
        completed: The arguments with what only this provider has.
        strict: Whether a parameter that a model refuses is refused, not left out.
        optional: Whether a chain does without it where it can't be made.
        json_argument: The argument that asks for JSON.
    """

    is_used: Callable[[Settings], bool]
    build: Callable[[Settings, Arguments], "Sequence[GuardedChatModel]"]
    models: Callable[[Settings], Sequence[str]]
    serving: Callable[[Settings], str]
    plans: "Callable[[Profile, Settings], Mapping[str, ParameterPlan]]"
    names: Mapping[str, str]
    accepts: frozenset[str] | None
    limits: Callable[[Settings], Mapping[str, float | None]] = _every_call
    address: Callable[[Settings], tuple[str | None, str | None] | None] = lambda settings: None
    completed: "Callable[..., dict[str, Any]]" = _as_they_are
    strict: bool = False
    optional: bool = False
    json_argument: Mapping[str, Any] | None = None


def provider_named(name: str) -> Provider:
    """A provider by its name.

    Raises:
        SettingsError: There is none of that name.
    """
    line = PROVIDERS.get(name)
    if line is None:
        raise SettingsError(
            f"There is no provider {name!r}.", hint=f"There are {', '.join(PROVIDERS)}."
        )
    module, _, attribute = line.place.partition(":")
    found: Provider = getattr(importlib.import_module(module), attribute)
    return found


def all_providers() -> dict[str, Provider]:
    """All of them, in the order of a chain."""
    return {name: provider_named(name) for name in PROVIDERS}
