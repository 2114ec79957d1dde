"""What a model accepts: which parameters, how much in, how much out, at which endpoint.

The limits come from the table that `langchain-openai` ships (generated from models.dev), and where
it is silent from `catalogue/catalogue.yaml`. The table knows exact names only and says nothing on
penalties, `stop` or `verbosity`, so the names are resolved here and the families' rules are written
down here, each with its source:

- o-series: no temperature, top_p, penalties (table of what the API refuses:
  community.openai.com/t/1110750/7); `stop` refused by o3 and o4-mini (dify #18971, crewAI #2738),
  taken by o3-mini (smolagents #2366); `reasoning_effort` low, medium, high.
- GPT-5 and later: the same while they reason. From GPT-5.1 on, the sampling parameters come back
  at effort `none` (langchain-openai 1.7.3 keeps `temperature` there and drops it silently
  otherwise: chat_models/base.py, `validate_temperature`). Only this family has `verbosity`.
- GPT-4.1, GPT-4o and older: sampling parameters and `stop`, no effort, no verbosity.
- The Responses API has no `seed`, `stop`, penalties or `logprobs` (its reference).
- A name we don't know, of a family we know (`gpt-7-sol`), gets what its family takes; what it then
  refuses is learnt (`models.repairs`). Any other unknown name gets nothing that some model refuses.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

from allotrope.models.catalogue.entries import Catalogue, Endpoint, Entry, packaged_catalogue
from allotrope.models.providers.provider import provider_named
from allotrope.support.compat.openai import profile_table

Parameter = Literal[
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "max_output_tokens",
    "stop",
    "seed",
    "reasoning_effort",
    "verbosity",
    "service_tier",
    "response_format",
    "parallel_tool_calls",
]
Family = Literal["o-series", "gpt-5", "gpt-4", "ollama", "embedded", "unknown"]

SAMPLING: frozenset[Parameter] = frozenset(
    {"temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs"}
)
_OPENAI: frozenset[Parameter] = frozenset(
    {"max_output_tokens", "seed", "service_tier", "response_format"}
)
_SNAPSHOT = re.compile(r"^(?P<base>.+?)-(?:20\d\d-\d\d-\d\d|20\d{6}|\d{4})$")
_O_SERIES = re.compile(r"^o\d(?:-|$)")
_GPT5 = re.compile(r"^gpt-(?:[5-9]|\d\d)(?:[.-]|$)")
_GPT4 = re.compile(r"^(?:gpt-(?:4|3\.5)|chatgpt-4o)")
_EFFORTS = ("low", "medium", "high")
# Flex: the pricing of o3, o4-mini and of GPT-5 and later lists it; others have no such price.
_FLEX = re.compile(r"^(?:o3|o4-mini|gpt-(?:[5-9]|\d\d)(?!\d))(?!-mini-deep|.*chat)")
# Responses only: the -pro models and those for coding (developers.openai.com/api/docs/models).
_RESPONSES_ONLY = re.compile(r"^(?:o\d|gpt-[\d.]++).*(?:-pro|-codex)(?:-|$)")
_NOT_IN_RESPONSES: frozenset[Parameter] = frozenset(
    {"seed", "stop", "presence_penalty", "frequency_penalty", "logprobs"}
)


@dataclass(frozen=True)
class Capabilities:
    """What one model accepts.

    Attributes:
        model: The name asked for.
        known_as: The entry of the table it was resolved to; None for a name we don't know.
        provider: `openai`, `ollama` or `embedded`.
        family: Whose rules apply.
        reasoning: Whether it thinks before it answers; those tokens count as output.
        max_input_tokens: Window for the prompt, in tokens, where known.
        max_output_tokens: Longest answer with its reasoning, in tokens, where known.
        accepts: Parameters it takes.
        at_effort_none: Parameters it takes only at reasoning effort `none`.
        efforts: Reasoning efforts it takes, lowest first.
        tiers: Service tiers it takes.
        tools: Whether it calls tools; None where unknown.
        structured_output: Whether it keeps to a JSON schema; None where unknown.
        deprecated: Whether the table says that its end is announced.
        endpoint: Which API it needs; None: either will do.
        surcharge_above: Tokens of prompt above which the provider asks a higher price.
        breakpoints: Whether it takes explicit breakpoints of the provider's prompt cache.
    """

    model: str
    known_as: str | None
    provider: str
    family: Family
    reasoning: bool
    max_input_tokens: int | None
    max_output_tokens: int | None
    accepts: frozenset[Parameter]
    at_effort_none: frozenset[Parameter] = frozenset()
    efforts: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    tools: bool | None = None
    structured_output: bool | None = None
    deprecated: bool = False
    endpoint: Endpoint | None = None
    surcharge_above: int | None = None
    breakpoints: bool = False

    def takes(self, parameter: Parameter, *, effort: str | None = None) -> bool:
        """Whether the model takes the parameter.

        Args:
            parameter: Which one.
            effort: The reasoning effort of the same request, where one is sent.
        """
        return parameter in self.accepts or (effort == "none" and parameter in self.at_effort_none)


def resolve(model: str) -> tuple[str | None, str]:
    """The table's entry for a name, and the bare name.

    Takes off what proxies and fine-tunes put around it (`openai/o3`, `ft:gpt-4.1-2025-04-14:org`)
    and the date of a snapshot (`o3-2025-04-16`).

    Args:
        model: The name as sent to the provider.

    Returns:
        The name in the table or None, and the name without prefixes.
    """
    bare = model.strip().lower()
    if bare.startswith("ft:"):
        bare = bare.split(":")[1]
    bare = bare.rsplit("/", 1)[-1].split(":", 1)[0]
    table = profile_table()
    if bare in table:
        return bare, bare
    snapshot = _SNAPSHOT.match(bare)
    if snapshot and snapshot["base"] in table:
        return snapshot["base"], bare
    return None, bare


def capabilities_of(
    model: str,
    *,
    provider: str = "openai",
    assume: frozenset[Parameter] = frozenset(),
    catalogue: Catalogue | None = None,
) -> Capabilities:
    """What a model accepts.

    Args:
        model: Its name, with or without prefix and date.
        provider: `openai`, `ollama` or `embedded`.
        assume: Parameters that the caller knows this model takes (own servers, new models).
        catalogue: Another one than the packaged.
    """
    accepted = provider_named(provider).accepts
    if accepted is not None:
        return _alike(model, provider, frozenset(get_args(Parameter)) & accepted | assume)
    catalogue = catalogue or packaged_catalogue()
    known, bare = resolve(model)
    if known is None:
        snapshot = _SNAPSHOT.match(bare)
        base = snapshot["base"] if snapshot else bare
        known = next((name for name in (bare, base) if name in catalogue.models), None)
    data: Mapping[str, Any] = profile_table().get(known, {}) if known else {}
    row = catalogue.entry(known or bare) or Entry()
    family = _family(known or bare)
    thinks = bool(data.get("reasoning_output", family in ("o-series", "gpt-5")))
    if "chat" in bare:
        thinks = False
    accepts: set[Parameter] = set(_OPENAI)
    at_none: frozenset[Parameter] = frozenset()
    efforts: tuple[str, ...] = ()
    if family == "gpt-4":
        accepts |= SAMPLING | {"stop", "parallel_tool_calls"}
    elif family == "o-series":
        accepts.add("reasoning_effort")
        efforts = _EFFORTS
        if bare.startswith(("o1", "o3-mini")):
            accepts.add("stop")
    elif family == "gpt-5" and thinks:
        accepts |= {"reasoning_effort", "verbosity", "parallel_tool_calls"}
        efforts = tuple(data.get("reasoning_effort_levels") or row.efforts or _EFFORTS)
        if data.get("temperature") and "none" in efforts:
            at_none = SAMPLING
    if family == "unknown":
        # Accepted by every chat model that OpenAI serves; anything else might be refused.
        accepts = {"max_output_tokens"}
        efforts = _EFFORTS if "reasoning_effort" in assume else ()
    endpoint: Endpoint | None = "responses" if _RESPONSES_ONLY.match(bare) else row.endpoint
    if endpoint == "responses":
        accepts -= _NOT_IN_RESPONSES
        at_none -= _NOT_IN_RESPONSES
    tiers = ("auto", "default") if known else ()
    if known and _FLEX.match(bare):
        tiers = (*tiers, "flex", "priority")
    elif known and family == "gpt-4":
        tiers = (*tiers, "priority")
    window = _smaller(data.get("max_input_tokens"), row.prompt)
    answer = _smaller(data.get("max_output_tokens"), row.answer)
    return Capabilities(
        model=model,
        known_as=known,
        provider=provider,
        family=family,
        reasoning=thinks,
        max_input_tokens=window,
        max_output_tokens=_beside_a_prompt(answer, window),
        accepts=frozenset(accepts | assume),
        at_effort_none=at_none,
        efforts=efforts,
        tiers=tiers,
        tools=data.get("tool_calling", True if family == "gpt-5" else None),
        structured_output=data.get("structured_output", True if family == "gpt-5" else None),
        deprecated=data.get("status") == "deprecated",
        endpoint=endpoint,
        surcharge_above=row.surcharge_above,
        breakpoints=bool(row.breakpoints),
    )


@lru_cache(maxsize=256)
def openai_capabilities(model: str) -> Capabilities:
    """What a model of OpenAI accepts by the packaged catalogue; worked out once.

    Args:
        model: Its name.
    """
    return capabilities_of(model)


def table_row(name: str | None) -> Mapping[str, Any]:
    """What langchain-openai's table says of a model; empty for a name it doesn't have."""
    return profile_table().get(name or "", {})


def _beside_a_prompt(answer: int | None, window: int | None) -> int | None:
    """The longest answer that leaves room for a prompt: gpt-4 has one window for both (8,192)."""
    return window // 2 if answer and window and answer >= window else answer


def _smaller(*limits: int | None) -> int | None:
    """The smallest of the limits that are known."""
    return min((limit for limit in limits if limit), default=None)


def _family(name: str) -> Family:
    if _O_SERIES.match(name):
        return "o-series"
    if _GPT5.match(name):
        return "gpt-5"
    return "gpt-4" if _GPT4.match(name) else "unknown"


def _alike(model: str, provider: str, accepts: frozenset[Parameter]) -> Capabilities:
    """What is known of a model whose provider treats all alike."""
    family: Any = provider if provider in get_args(Family) else "unknown"
    return Capabilities(
        model=model,
        known_as=None,
        provider=provider,
        family=family,
        reasoning=False,
        max_input_tokens=None,
        max_output_tokens=None,
        accepts=accepts,
    )
