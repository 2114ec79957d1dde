"""OpenAI, Ollama and the embedded model, as providers. Their clients are imported when made."""

import json
import socket
import urllib.request
from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from allotrope.exceptions import InputError
from allotrope.models.providers.provider import Arguments, Provider
from allotrope.settings import Settings

if TYPE_CHECKING:
    from allotrope.models.call.guarded import GuardedChatModel
    from allotrope.models.profiles.parameters import ParameterPlan
    from allotrope.models.profiles.profile import Profile

EMBEDDED_MODEL = "the embedded model"
"""What it is called where its file isn't looked for."""

_OPENAI_NAMES = {
    "reasoning_effort": "reasoning_effort",
    "verbosity": "verbosity",
    "max_output_tokens": "max_completion_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "seed": "seed",
    "stop": "stop_sequences",
    "service_tier": "service_tier",
}
_SAMPLING = frozenset({"temperature", "top_p", "logprobs"})
_PENALTIES = frozenset({"presence_penalty", "frequency_penalty"})
_LOCAL = frozenset({"max_output_tokens", "stop", "seed", "response_format"}) | _SAMPLING


# -- OpenAI ----------------------------------------------------------------------------------------


def _openai_used(settings: Settings) -> bool:
    return settings.openai.enabled and settings.openai.api_key is not None


def build_line(settings: Settings, arguments: Arguments) -> "list[GuardedChatModel]":
    """The OpenAI model of the settings and those that take over from it when it ends, in order.

    Args:
        settings: Which model, and how it is reached.
        arguments: Constructor arguments under `openai`, and under `openai/NAME` for a successor;
            where a successor has none, those of its predecessor are translated.
    """
    from allotrope.models.catalogue.lifecycle import lifecycles_of
    from allotrope.models.profiles.parameters import carried_over, endpoint_arguments, name_in_chain
    from allotrope.models.providers.openai import build_openai

    lifecycles = lifecycles_of(settings)
    wanted, given = settings.openai.model, arguments.get("openai", {})
    models: list[GuardedChatModel] = []
    for name in lifecycles.line(wanted):
        if name == wanted:
            own = {**endpoint_arguments(name), **given}
        else:
            own = arguments.get(name_in_chain(name)) or carried_over(given, name, wanted)
        model = build_openai(settings.openai, **{**own, "model": name})
        model.serve(lifecycles, wanted=wanted)
        models.append(model)
    return models


def _hosted(settings: Settings) -> list[str]:
    """The hosted models that these settings may ask: of the roles, then their successors."""
    from allotrope.models.catalogue.lifecycle import lifecycles_of
    from allotrope.models.catalogue.roles import models_by_role

    named = list(models_by_role(settings).values())
    lifecycles = lifecycles_of(settings)
    return list(dict.fromkeys([*named, *(lifecycles.serving(name) for name in named)]))


def _serving(settings: Settings) -> str:
    from allotrope.models.catalogue.entries import PRIMARY
    from allotrope.models.catalogue.lifecycle import lifecycles_of
    from allotrope.models.catalogue.roles import models_by_role

    return lifecycles_of(settings).serving(
        models_by_role(settings).get(PRIMARY, settings.openai.model)
    )


def _openai_plans(profile: "Profile", settings: Settings) -> "Mapping[str, ParameterPlan]":
    from allotrope.models.profiles.parameters import line_plans

    return line_plans(profile, settings)


def _openai_completed(
    arguments: dict[str, Any], profile: "Profile", can: Any, before: Any
) -> dict[str, Any]:
    from allotrope.models.profiles.parameters import endpoint_arguments, limits_beside

    if can.family != "unknown" and "/" not in can.model:
        arguments = {**arguments, **limits_beside(profile, can, before)}
    return {**arguments, **endpoint_arguments(can.model)}


def _openai_address(settings: Settings) -> tuple[str | None, str | None]:
    key = settings.openai.api_key
    return settings.openai.base_url, None if key is None else key.get_secret_value()


def _openai_asking(settings: Settings, model: str, within_s: float | None) -> Settings:
    own: dict[str, Any] = {"enabled": True, "model": model}
    if within_s is not None:
        own |= {"timeout_s": within_s, "first_token_timeout_s": within_s}
    return settings.with_section("openai", **own)


def _openai_embedding_options(settings: Settings, within_s: float) -> dict[str, Any]:
    import httpx2

    from allotrope.support.exchanges import limit

    client = limit(httpx2.Client(timeout=within_s, follow_redirects=True), within_s)
    options: dict[str, Any] = {
        "http_client": client,
        "timeout": within_s,
        "max_retries": 0,
        # its check of lengths would load (and at first download) a vocabulary of its own
        "check_embedding_ctx_length": False,
    }
    if settings.openai.api_key is not None:
        options["api_key"] = settings.openai.api_key
    if settings.openai.base_url is not None:
        options["base_url"] = settings.openai.base_url
    return options


OPENAI = Provider(
    is_used=_openai_used,
    build=build_line,
    models=_hosted,
    serving=_serving,
    asking=_openai_asking,
    unasked=lambda settings: settings.with_section("openai", enabled=False),
    embedding_options=_openai_embedding_options,
    plans=_openai_plans,
    names=_OPENAI_NAMES,
    accepts=None,
    limits=lambda settings: {
        "first_token_s": settings.openai.first_token_timeout_s,
        "idle_s": settings.openai.idle_timeout_s,
        "total_s": settings.openai.timeout_s,
    },
    address=_openai_address,
    completed=_openai_completed,
    strict=True,
)


# -- Ollama ----------------------------------------------------------------------------------------


def is_used(settings: Settings) -> bool:
    """Whether Ollama is in the chain of these settings.

    Where somebody set an Ollama up, it is, up or down. In `dev`, where nobody did, it is if one
    answers: else every outage would be told as that of a server which never was there.

    Args:
        settings: A setting of Ollama's own, an address say, makes it one that was set up.
    """
    own = settings.ollama
    if not own.enabled or own.model_fields_set or settings.env != "dev":
        return own.enabled
    where = urlsplit(own.host)
    try:
        socket.create_connection((where.hostname, where.port or 11434), timeout=0.2).close()
    except OSError:
        return False
    return True


def _build_ollama(settings: Settings, arguments: Arguments) -> "list[GuardedChatModel]":
    from allotrope.models.providers.ollama import build_ollama

    return [build_ollama(settings.ollama, **arguments.get("ollama", {}))]


def _ollama_plans(profile: "Profile", settings: Settings) -> "Mapping[str, ParameterPlan]":
    from allotrope.models.profiles.parameters import plan_for

    longest = max(1, settings.ollama.num_ctx // 2)
    return {"ollama": plan_for(profile, settings.ollama.model, "ollama", longest=longest)}


def _ollama_asking(settings: Settings, model: str, within_s: float | None) -> Settings:
    own: dict[str, Any] = {"enabled": True, "model": model}
    if within_s is not None:
        own["timeout_s"] = within_s
    return settings.with_section("ollama", **own)


def _ollama_installed(settings: Settings, name: str) -> str:
    """A misspelt name costs no failed answers."""
    host = settings.ollama.host
    try:
        with urllib.request.urlopen(f"{host}/api/tags", timeout=5) as reply:  # noqa: S310 # http(s) by the setting's own check
            models = [str(each["name"]) for each in json.load(reply)["models"]]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise InputError(
            f"Ollama doesn't answer at {host}, so {name} can't be tried.",
            hint="Start it, or set OLLAMA_HOST.",
        ) from exc
    if name in models or f"{name}:latest" in models:
        return name
    near = get_close_matches(name, models, n=1, cutoff=0.4)
    meant = f"Did you mean ollama:{near[0]}? " if near else ""
    raise InputError(
        f"Ollama at {host} has no model {name!r}.", hint=f"{meant}`ollama pull {name}` gets it."
    )


def _ollama_embedding_options(settings: Settings, within_s: float) -> dict[str, Any]:
    import httpx

    from allotrope.support.exchanges import limit_transport

    transport = limit_transport(httpx.HTTPTransport(), within_s)
    return {
        "base_url": settings.ollama.host,
        "client_kwargs": {"timeout": within_s},
        "sync_client_kwargs": {"transport": transport},
    }


OLLAMA = Provider(
    is_used=is_used,
    build=_build_ollama,
    models=lambda settings: (settings.ollama.model,),
    serving=lambda settings: settings.ollama.model,
    asking=_ollama_asking,
    unasked=lambda settings: settings.with_section("ollama", enabled=False),
    installed=_ollama_installed,
    embedding_options=_ollama_embedding_options,
    plans=_ollama_plans,
    names={
        "max_output_tokens": "num_predict",
        "temperature": "temperature",
        "top_p": "top_p",
        "seed": "seed",
        "stop": "stop",
    },
    accepts=_LOCAL,
    limits=lambda settings: {"total_s": settings.ollama.timeout_s},
    address=lambda settings: (settings.ollama.host, None),
    json_argument={"format": "json"},
)


# -- the embedded model ----------------------------------------------------------------------------


def _build_embedded(settings: Settings, arguments: Arguments) -> "list[GuardedChatModel]":
    from allotrope.models.providers.embedded import build_embedded

    return [build_embedded(settings.embedded, **arguments.get("embedded", {}))]


def _embedded_plans(profile: "Profile", settings: Settings) -> "Mapping[str, ParameterPlan]":
    from allotrope.models.profiles.parameters import plan_for

    longest = settings.embedded.max_output_tokens
    return {"embedded": plan_for(profile, "embedded", "embedded", longest=longest)}


def _embedded_asking(settings: Settings, model: str, within_s: float | None) -> Settings:
    """It has one model, whatever the name: the file of the settings."""
    own: dict[str, Any] = {"enabled": True}
    if within_s is not None:
        own["timeout_s"] = within_s
    return settings.with_section("embedded", **own)


def _embedded_installed(settings: Settings, name: str) -> str:
    from allotrope.models.providers.weights import find_weights, model_name

    own = model_name(find_weights(settings.embedded))
    if name not in ("", own):
        raise InputError(
            f"The embedded model is {own}, not {name!r}.",
            hint="Another one is tried by the path of its .gguf file.",
        )
    return own


EMBEDDED = Provider(
    is_used=lambda settings: settings.embedded.enabled,
    build=_build_embedded,
    models=lambda settings: (),
    serving=lambda settings: EMBEDDED_MODEL,
    asking=_embedded_asking,
    unasked=lambda settings: settings.with_section("embedded", enabled=False),
    installed=_embedded_installed,
    plans=_embedded_plans,
    names=_OPENAI_NAMES,
    accepts=_LOCAL | _PENALTIES,
    limits=lambda settings: {"total_s": settings.embedded.timeout_s},
    optional=True,
)
