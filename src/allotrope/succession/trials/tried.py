"""The models of a trial: who is meant by a name, and settings under which only that one answers."""

import json
import urllib.request
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from allotrope.exceptions import InputError, SettingsError
from allotrope.models.catalogue.daily import end_in_words
from allotrope.models.catalogue.lifecycle import Lifecycles
from allotrope.models.catalogue.roles import models_by_role
from allotrope.models.profiles.library import open_profiles
from allotrope.models.providers.weights import find_weights, model_name
from allotrope.settings import Settings
from allotrope.succession.names import unknown_name

OLLAMA = "ollama:"
EMBEDDED = "embedded"


@dataclass(frozen=True)
class TriedModel:
    """A model that is tried.

    Attributes:
        provider: Who serves it.
        name: As the provider calls it.
        weights: The GGUF file of an embedded model; None: that of the settings.
    """

    provider: Literal["openai", "ollama", "embedded"]
    name: str
    weights: Path | None = None

    @property
    def local(self) -> bool:
        """Whether it runs on this machine or one of ours."""
        return self.provider != "openai"

    def __str__(self) -> str:
        if self.provider == "embedded":
            return self.weights.name if self.weights is not None else f"{EMBEDDED} ({self.name})"
        return f"{OLLAMA}{self.name}" if self.provider == "ollama" else self.name


def find_model(settings: Settings, lifecycles: Lifecycles, text: str) -> TriedModel:
    """The model that is meant by a name.

    Args:
        settings: Key, Ollama's host, and the embedded model.
        lifecycles: Who knows OpenAI's models.
        text: A model of the provider, `ollama:NAME`, `embedded`, or the path of a GGUF file.

    Raises:
        InputError: Nobody knows it, it has ended, or it can't be asked here.
        SettingsError: A GGUF file can't be used.
    """
    if text.startswith(OLLAMA):
        return TriedModel("ollama", _installed(settings, text.removeprefix(OLLAMA)))
    if text == EMBEDDED:
        path = find_weights(settings.embedded)
        return TriedModel("embedded", model_name(path))
    if text.lower().endswith(".gguf"):
        return _of_file(settings, text)
    if text in (roles := models_by_role(settings)):
        raise InputError(f"{text!r} is a role, not a model.", hint=f"Its model is {roles[text]}.")
    if not lifecycles.azure and (unknown := unknown_name(lifecycles, text)) is not None:
        raise InputError(
            f"{unknown} Nothing was asked.",
            hint="Local models: ollama:NAME, embedded, or the path of a .gguf file.",
        )
    if not settings.openai.enabled or settings.openai.api_key is None:
        raise InputError(f"{text} can't be tried without a key.", hint="Set OPENAI_API_KEY.")
    return TriedModel("openai", text)


def refuse_ended(
    lifecycles: Lifecycles, model: TriedModel, other: TriedModel, *, before: bool
) -> None:
    """Refuses a model that answers no more, and says what can be done instead.

    Args:
        lifecycles: Who knows.
        model: The model.
        other: The one it is to be compared with.
        before: Whether it is the model that others are compared with.

    Raises:
        InputError: It has ended.
    """
    if model.provider != "openai" or lifecycles.ended(model.name) is None:
        return
    serving = lifecycles.serving(model.name)
    hint = "Try another model."
    if serving not in (model.name, other.name):
        pair = (serving, str(other)) if before else (str(other), serving)
        hint = f"Try who answers now: `allotrope models trial {pair[0]} {pair[1]}`."
    elif before:
        hint = (
            f"There is nothing left to compare {other} with; its answers alone are judged by "
            "`allotrope bench quality --dataset FILE`."
        )
    raise InputError(f"{end_in_words(lifecycles, model.name)} Nothing was asked.", hint=hint)


def settings_for(settings: Settings, model: TriedModel) -> Settings:
    """Settings under which this model answers everything, and nobody stands in for it.

    Its successor doesn't take over, no other provider is asked, summaries are written by the same
    model or by rules, and no embeddings are asked for.

    Args:
        settings: The person's.
        model: Who answers.
    """
    hosted = model.provider == "openai"
    openai = {"enabled": hosted, "succession": "off"}
    profiles = settings.profiles
    if hosted:
        roles = dict.fromkeys(models_by_role(settings), model.name)
        openai |= {"model": model.name, "roles": roles}
        library = open_profiles(settings)
        try:
            names = library.names()
        finally:
            library.close()
        given = profiles.overrides
        overrides = {name: {**given.get(name, {}), "model": model.name} for name in names}
        profiles = profiles.model_copy(update={"overrides": {**given, **overrides}})
    ollama: dict[str, object] = {"enabled": model.provider == "ollama"}
    if model.provider == "ollama":
        ollama["model"] = model.name
    embedded: dict[str, object] = {"enabled": model.provider == "embedded"}
    if model.weights is not None:
        embedded["model_path"] = model.weights
    memory: dict[str, object] = {"embeddings": None, "facts": False}
    if not hosted:
        memory["summary"] = "extract"
    return settings.model_copy(
        update={
            "openai": settings.openai.model_copy(update=openai),
            "ollama": settings.ollama.model_copy(update=ollama),
            "embedded": settings.embedded.model_copy(update=embedded),
            "memory": settings.memory.model_copy(update=memory),
            "profiles": profiles,
        }
    )


def _of_file(settings: Settings, text: str) -> TriedModel:
    path = Path(text).expanduser().resolve()
    try:
        find_weights(settings.embedded.model_copy(update={"model_path": path}))
    except SettingsError as exc:
        said = "is no GGUF file" if path.is_file() else "isn't there or can't be read"
        raise InputError(f"{text} {said}.", hint="Give the path of a GGUF file.") from exc
    return TriedModel("embedded", model_name(path), path)


def _installed(settings: Settings, name: str) -> str:
    """The name of a model that Ollama has, so that a misspelt one costs no failed answers."""
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
    meant = f"Did you mean {OLLAMA}{near[0]}? " if near else ""
    raise InputError(
        f"Ollama at {host} has no model {name!r}.", hint=f"{meant}`ollama pull {name}` gets it."
    )
