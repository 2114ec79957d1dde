"""The models of a trial: who is meant by a name, and settings under which only that one answers."""

from dataclasses import dataclass
from pathlib import Path

from allotrope.exceptions import InputError, SettingsError
from allotrope.models.catalogue.daily import end_in_words
from allotrope.models.catalogue.lifecycle import Lifecycles
from allotrope.models.catalogue.roles import models_by_role
from allotrope.models.profiles.library import open_profiles
from allotrope.models.providers.provider import alone, provider_named
from allotrope.models.providers.weights import find_weights, model_name
from allotrope.settings import Settings
from allotrope.succession.names import unknown_name
from allotrope.support.providers import CATALOGUED, PROVIDERS, catalogued, in_process, is_local


@dataclass(frozen=True)
class TriedModel:
    """A model that is tried.

    Attributes:
        provider: Who serves it; a name of `PROVIDERS`.
        name: As the provider calls it.
        weights: The GGUF file of an embedded model; None: that of the settings.
    """

    provider: str
    name: str
    weights: Path | None = None

    @property
    def local(self) -> bool:
        """Whether it runs on this machine or one of ours."""
        return is_local(self.provider)

    def __str__(self) -> str:
        if self.weights is not None:
            return self.weights.name
        if catalogued(self.provider):
            return self.name
        one = in_process(self.provider)
        return f"{self.provider} ({self.name})" if one else f"{self.provider}:{self.name}"


def find_model(settings: Settings, lifecycles: Lifecycles, text: str) -> TriedModel:
    """The model that is meant by a name.

    Args:
        settings: Key, Ollama's host, and the embedded model.
        lifecycles: Who knows the models of the catalogue.
        text: A model of the catalogue, `PROVIDER:NAME`, `embedded`, or the path of a GGUF file.

    Raises:
        InputError: Nobody knows it, it has ended, or it can't be asked here.
        SettingsError: A GGUF file can't be used.
    """
    provider, _, name = text.partition(":")
    if provider in PROVIDERS and not catalogued(provider):
        return TriedModel(provider, provider_named(provider).installed(settings, name))
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
    return TriedModel(CATALOGUED, text)


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
    if not catalogued(model.provider) or lifecycles.ended(model.name) is None:
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
    only = alone(settings, model.provider, model.name)
    openai: dict[str, object] = {"succession": "off"}
    profiles = settings.profiles
    if catalogued(model.provider):
        openai["roles"] = dict.fromkeys(models_by_role(settings), model.name)
        library = open_profiles(settings)
        try:
            names = library.names()
        finally:
            library.close()
        given = profiles.overrides
        overrides = {name: {**given.get(name, {}), "model": model.name} for name in names}
        profiles = profiles.model_copy(update={"overrides": {**given, **overrides}})
    embedded: dict[str, object] = {}
    if model.weights is not None:
        embedded["model_path"] = model.weights
    memory: dict[str, object] = {"embeddings": None, "facts": False}
    if model.local:
        memory["summary"] = "extract"
    return only.model_copy(
        update={
            "openai": only.openai.model_copy(update=openai),
            "embedded": only.embedded.model_copy(update=embedded),
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
