"""What models, profiles and breaker need of a provider; `support.providers` lists them all."""

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


def _as_named(settings: Settings, model: str) -> str:
    return model


def _no_options(settings: Settings, within_s: float) -> Mapping[str, Any]:
    return {}


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
        asking: Settings that ask it for one model, which may take so many seconds (None: as long
            as before).
        unasked: Settings that don't ask it.
        installed: What a model that a person names is called there; it raises `InputError` for one
            that it can't have. An empty name is its one model, where it has one.
        embedding_options: Arguments of LangChain's `init_embeddings` for its embeddings: key,
            address, and how many seconds one request may take.
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
    asking: Callable[[Settings, str, float | None], Settings]
    unasked: Callable[[Settings], Settings]
    plans: "Callable[[Profile, Settings], Mapping[str, ParameterPlan]]"
    names: Mapping[str, str]
    accepts: frozenset[str] | None
    limits: Callable[[Settings], Mapping[str, float | None]] = _every_call
    installed: Callable[[Settings, str], str] = _as_named
    embedding_options: Callable[[Settings, float], Mapping[str, Any]] = _no_options
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
    found: Provider = line.load()
    return found


def all_providers() -> dict[str, Provider]:
    """All of them, in the order of a chain."""
    return {name: provider_named(name) for name in PROVIDERS}


def alone(
    settings: Settings, provider: str, model: str, *, within_s: float | None = None
) -> Settings:
    """Settings under which only this model is asked.

    Args:
        settings: Keys, addresses and everything else.
        provider: Whose model.
        model: As the provider calls it.
        within_s: Seconds that an answer may take; None: as the settings say.

    Raises:
        SettingsError: There is no such provider.
    """
    asked = provider_named(provider)
    for other in all_providers().values():
        if other is not asked:
            settings = other.unasked(settings)
    return asked.asking(settings, model, within_s)
