"""The providers of models, one line each, in the order in which a chain asks them.

What every package may know of a provider stands here; how its models are made, called and limited
stands in the module that its line names, as a `models.providers.provider.Provider`.
"""

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ProviderLine:
    """What every package may know of a provider.

    Attributes:
        name: In settings, provenance and the ledger.
        label: In a sentence that starts with it.
        place: `module:NAME` of its `Provider`.
        class_name: The class of its chat models, by which the recorder knows a call before its end.
        local: Whether it runs on this machine: it costs nothing and no account is shared.
        in_process: Whether its model runs in this process, so that no request is seen.
        catalogued: Whether the catalogue has its models, with their ends and successors; roles
            and profiles name them.
        if_missing: What to do about a model that it doesn't have.
        ratio: Tokens of its tokenizer per token of o200k_base, until its usage tells it.
    """

    name: str
    label: str
    place: str
    class_name: str
    local: bool = False
    in_process: bool = False
    catalogued: bool = False
    if_missing: str = "Choose another model."
    ratio: float = 1.25

    def load(self) -> Any:
        """Its `models.providers.provider.Provider`; the module is imported now."""
        module, _, name = self.place.partition(":")
        return getattr(importlib.import_module(module), name)


_BUILTIN = "allotrope.models.providers.builtin"

PROVIDERS: dict[str, ProviderLine] = {
    line.name: line
    for line in (
        ProviderLine(
            "openai", "OpenAI", f"{_BUILTIN}:OPENAI", "OpenAIChat", catalogued=True, ratio=1.0
        ),
        ProviderLine(
            "ollama", "Ollama", f"{_BUILTIN}:OLLAMA", "OllamaChat", local=True,
            if_missing="Run `ollama pull {model}`.",
        ),
        ProviderLine(
            "embedded", "The embedded model", f"{_BUILTIN}:EMBEDDED", "EmbeddedChat", local=True,
            in_process=True,
        ),
    )
}  # fmt: skip
"""All providers, by name."""

CATALOGUED = next(line.name for line in PROVIDERS.values() if line.catalogued)
"""The provider whose models roles, profiles and experiments name."""


def label_of(provider: str) -> str:
    """How a provider is called in a sentence that starts with it."""
    line = PROVIDERS.get(provider)
    return provider if line is None else line.label


def is_local(provider: str) -> bool:
    """Whether a provider runs on this machine."""
    line = PROVIDERS.get(provider)
    return line is not None and line.local


def in_process(provider: str | None) -> bool:
    """Whether a provider's model runs in this process."""
    line = PROVIDERS.get(provider or "")
    return line is not None and line.in_process


def catalogued(provider: str) -> bool:
    """Whether the catalogue has a provider's models, with their ends and successors."""
    line = PROVIDERS.get(provider)
    return line is not None and line.catalogued


def embedding_options(name: str, settings: Any, within_s: float) -> "dict[str, Any]":
    """What `init_embeddings` takes besides a name, by the settings; nothing for strangers.

    Args:
        name: `provider:model`.
        settings: Key and address of the provider.
        within_s: Seconds that one request may take.
    """
    line = PROVIDERS.get(name.partition(":")[0])
    return {} if line is None else dict(line.load().embedding_options(settings, within_s))


def first_ratio(provider: str) -> float:
    """How far o200k_base is from a provider's tokenizer before its usage tells."""
    line = PROVIDERS.get(provider)
    return ProviderLine.ratio if line is None else line.ratio
