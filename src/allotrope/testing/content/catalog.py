"""The models the simulated providers have, and what each of them takes.

OpenAI's as of 30 November 2026, written down here on purpose and not read from the product's own
tables: a stand-in that shares its tables with what it tests can't find their mistakes. Windows and
efforts are those of OpenAI's model pages and of langchain-openai's model profiles; the rules for
tools on Chat Completions are those of openai/openai-openapi#541 (GPT-5.4, without an effort
allowed), charmbracelet/crush#2913 (GPT-5.5) and BerriAI/litellm#34569 (GPT-5.6); the efforts of the
-pro models those of anomalyco/opencode#3474 and OpenAI's pages.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

Sampling = Literal["any", "default", "none", "never"]
ToolsInChat = Literal["always", "no effort", "none", "never"]

NONE_HIGH = ("none", "low", "medium", "high")
MINIMAL_HIGH = ("minimal", "low", "medium", "high")
LOW_HIGH = ("low", "medium", "high")
NONE_XHIGH = ("none", "low", "medium", "high", "xhigh")
LOW_XHIGH = ("low", "medium", "high", "xhigh")
MEDIUM_XHIGH = ("medium", "high", "xhigh")
NONE_MAX = ("none", "low", "medium", "high", "xhigh", "max")
LOW_MAX = ("low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True, slots=True, kw_only=True)
class SimModel:
    """A chat model of the simulated OpenAI and the rules it answers by.

    Args:
        name: The name it is asked by.
        snapshot: The name its replies carry; None is the name asked for.
        longest_prompt: The longest prompt in tokens.
        longest_answer: The longest answer in tokens, hidden ones included.
        efforts: The reasoning efforts it takes; none for a model that doesn't reason.
        default_effort: The effort where a request names none.
        chat: Whether it answers on `/v1/chat/completions`.
        responses: Whether it answers on `/v1/responses`.
        tools_in_chat: When Chat Completions takes function tools: `always`; `no effort` (with no
            effort or with `none`); `none` (only with the effort `none`); `never`.
        sampling: When it takes `temperature` and `top_p`: `any` value; the `default` temperature
            only; any at the effort `none`; `never`.
        verbosities: The values of `verbosity` it takes.
        images: Whether it takes images.
        json_schema: Whether it takes a JSON schema for its answer.
        cache_breakpoints: Whether it takes cache breakpoints and counts what it writes to the
            cache (from GPT-5.6 on).
        refused: Further parameters it refuses as unsupported, by their path in the body
            (`stop`, `reasoning.summary`).
        unknown: Further parameters it doesn't know at all.
        values: The only values it takes for further parameters, by their path.
    """

    name: str
    snapshot: str | None = None
    longest_prompt: int = 128_000
    longest_answer: int = 16_384
    efforts: tuple[str, ...] = ()
    default_effort: str | None = None
    chat: bool = True
    responses: bool = True
    tools_in_chat: ToolsInChat = "always"
    sampling: Sampling = "any"
    verbosities: tuple[str, ...] = ("medium",)
    images: bool = True
    json_schema: bool = True
    cache_breakpoints: bool = False
    refused: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()
    values: Mapping[str, tuple[Any, ...]] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def reasons(self) -> bool:
        """Whether it thinks before it answers."""
        return bool(self.efforts)

    def effort(self, asked: str | None) -> str | None:
        """The effort that holds when a request asks for this one or for none."""
        return asked if asked is not None else self.default_effort


_REASONING = frozenset({"presence_penalty", "frequency_penalty", "logit_bias", "stop"})
_BEFORE_5_6 = _REASONING | {"reasoning.mode", "reasoning.context"}
_LOGPROBS = frozenset({"logprobs", "top_logprobs"})
_ALL = ("low", "medium", "high")


def _plain(name: str, snapshot: str | None, prompt: int, answer: int, **more: Any) -> SimModel:
    return SimModel(
        name=name, snapshot=snapshot, longest_prompt=prompt, longest_answer=answer, **more
    )


def _o(name: str, snapshot: str | None, **more: Any) -> SimModel:
    rules: dict[str, Any] = {
        "efforts": LOW_HIGH,
        "default_effort": "medium",
        "sampling": "default",
        "refused": _BEFORE_5_6 | _LOGPROBS,
    }
    return _plain(name, snapshot, 200_000, 100_000, **{**rules, **more})


def _gpt(name: str, snapshot: str | None, efforts: tuple[str, ...], **more: Any) -> SimModel:
    """A reasoning GPT; its sampling follows from its efforts."""
    rules: dict[str, Any] = {
        "efforts": efforts,
        "default_effort": "medium",
        "sampling": "none" if "none" in efforts else "never",
        "verbosities": _ALL,
        "refused": _BEFORE_5_6 if "none" in efforts else _BEFORE_5_6 | _LOGPROBS,
    }
    prompt = more.pop("prompt", 272_000)
    return _plain(name, snapshot, prompt, 128_000, **{**rules, **more})


def _large(name: str, snapshot: str | None, efforts: tuple[str, ...], **more: Any) -> SimModel:
    """A model with the window of 1.05 million tokens (GPT-5.4 and later)."""
    return _gpt(name, snapshot, efforts, **{"prompt": 922_000, **more})


def _new(name: str, efforts: tuple[str, ...]) -> SimModel:
    """GPT-5.6 and later: no snapshots, an effort by default, cache breakpoints."""
    tools: ToolsInChat = "none" if "none" in efforts else "never"
    refused = _REASONING if "none" in efforts else _REASONING | _LOGPROBS
    return _large(name, None, efforts, tools_in_chat=tools, cache_breakpoints=True, refused=refused)


_ROWS = (
    _plain("gpt-3.5-turbo", "gpt-3.5-turbo-0125", 16_385, 4096, images=False, json_schema=False),
    _plain("gpt-4", "gpt-4-0613", 8192, 8192, images=False, json_schema=False),
    _plain("gpt-4-turbo", "gpt-4-turbo-2024-04-09", 128_000, 4096, json_schema=False),
    _plain("gpt-4o", "gpt-4o-2024-08-06", 128_000, 16_384),
    _plain("gpt-4o-2024-05-13", None, 128_000, 4096, json_schema=False),
    _plain("gpt-4o-2024-11-20", None, 128_000, 16_384),
    _plain("gpt-4o-mini", "gpt-4o-mini-2024-07-18", 128_000, 16_384),
    _plain("gpt-4.1", "gpt-4.1-2025-04-14", 1_047_576, 32_768),
    _plain("gpt-4.1-mini", "gpt-4.1-mini-2025-04-14", 1_047_576, 32_768),
    _plain("gpt-4.1-nano", "gpt-4.1-nano-2025-04-14", 1_047_576, 32_768),
    _o("o1", "o1-2024-12-17", refused=(_BEFORE_5_6 | _LOGPROBS) - {"stop"}),
    _o("o1-pro", "o1-pro-2025-03-19", chat=False),
    _o("o3", "o3-2025-04-16"),
    _o("o3-mini", "o3-mini-2025-01-31", sampling="never", images=False),
    _o("o3-pro", "o3-pro-2025-06-10", chat=False),
    _o("o4-mini", "o4-mini-2025-04-16"),
    _gpt("gpt-5", "gpt-5-2025-08-07", MINIMAL_HIGH, sampling="default"),
    _gpt("gpt-5-mini", "gpt-5-mini-2025-08-07", MINIMAL_HIGH, sampling="default"),
    _gpt("gpt-5-nano", "gpt-5-nano-2025-08-07", MINIMAL_HIGH, sampling="default"),
    _gpt("gpt-5-pro", "gpt-5-pro-2025-10-06", ("high",), default_effort="high", chat=False),
    _gpt("gpt-5-codex", None, LOW_HIGH, chat=False, verbosities=("medium",)),
    _plain("gpt-5-chat-latest", None, 128_000, 16_384),
    _gpt("gpt-5.1", "gpt-5.1-2025-11-13", NONE_HIGH, default_effort="none"),
    _gpt("gpt-5.1-chat-latest", None, ("medium",), prompt=128_000, verbosities=("medium",)),
    _gpt("gpt-5.1-codex", None, LOW_HIGH, chat=False, verbosities=("medium",)),
    _gpt("gpt-5.1-codex-max", None, LOW_XHIGH, chat=False, verbosities=("medium",)),
    _gpt("gpt-5.1-codex-mini", None, ("medium", "high"), chat=False, verbosities=("medium",)),
    _gpt("gpt-5.2", "gpt-5.2-2025-12-11", NONE_XHIGH, default_effort="none"),
    _gpt("gpt-5.2-chat-latest", None, ("medium",), prompt=128_000, verbosities=("medium",)),
    _gpt("gpt-5.2-codex", None, LOW_XHIGH, chat=False, verbosities=("medium",)),
    _gpt("gpt-5.2-pro", "gpt-5.2-pro-2025-12-11", MEDIUM_XHIGH, chat=False, json_schema=False),
    _gpt("gpt-5.3-chat-latest", None, ("medium",), prompt=128_000, verbosities=("medium",)),
    _gpt("gpt-5.3-codex", None, LOW_XHIGH, chat=False),
    _gpt("gpt-5.3-codex-spark", None, LOW_XHIGH, chat=False, prompt=128_000),
    _large("gpt-5.4", "gpt-5.4-2026-03-05", NONE_XHIGH,
           default_effort="none", tools_in_chat="no effort"),
    _gpt("gpt-5.4-mini", "gpt-5.4-mini-2026-03-17", NONE_XHIGH,
         default_effort="none", tools_in_chat="no effort"),
    _gpt("gpt-5.4-nano", "gpt-5.4-nano-2026-03-17", NONE_XHIGH,
         default_effort="none", tools_in_chat="no effort"),
    _large("gpt-5.4-pro", "gpt-5.4-pro-2026-03-05", MEDIUM_XHIGH, chat=False, json_schema=False),
    _large("gpt-5.5", "gpt-5.5-2026-04-23", NONE_XHIGH, tools_in_chat="none"),
    _large("gpt-5.5-pro", "gpt-5.5-pro-2026-04-23", MEDIUM_XHIGH, chat=False),
    _new("gpt-5.6", NONE_MAX),
    _new("gpt-5.6-sol", NONE_MAX),
    _new("gpt-5.6-terra", NONE_MAX),
    _new("gpt-5.6-luna", NONE_MAX),
    _new("gpt-6-sol", NONE_MAX),
    _new("gpt-6-luna", NONE_MAX),
    _new("gpt-6-astra", LOW_MAX),
    _new("gpt-6.1-sol", LOW_MAX),
    _new("gpt-6.1-terra", NONE_MAX),
    _new("gpt-6.2-sol", LOW_MAX),
    _new("gpt-6.2-astra", LOW_MAX),
    _new("gpt-daybreak-blue-latest", LOW_MAX),
    replace(_new("gpt-daybreak-red-latest", LOW_MAX), longest_prompt=272_000),
)  # fmt: skip

MODELS: Mapping[str, SimModel] = MappingProxyType({model.name: model for model in _ROWS})
"""OpenAI's chat models by name."""

_DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$|-\d{4}$")
_FAMILIES = (
    (re.compile(r"^o\d"), "o3"),
    (re.compile(r"^gpt-5\.1"), "gpt-5.1"),
    (re.compile(r"^gpt-5\.[23]"), "gpt-5.2"),
    (re.compile(r"^gpt-5\.4"), "gpt-5.4"),
    (re.compile(r"^gpt-5\.5"), "gpt-5.5"),
    (re.compile(r"^gpt-5\.\d"), "gpt-5.6"),
    (re.compile(r"^gpt-5"), "gpt-5"),
    (re.compile(r"^gpt-([6-9]|\d\d)"), "gpt-6.2-sol"),
    (re.compile(r"^gpt-4\.1"), "gpt-4.1"),
)


def model_rules(name: str) -> SimModel:
    """The rules of a model: its own, those of its alias, or those of its family.

    Args:
        name: The name of a model, known or not; fine-tuned ones go by their base.

    Returns:
        The rules. `dataclasses.replace` makes a model of your own of them.
    """
    if name in MODELS:
        return MODELS[name]
    alias = _DATE.sub("", name.removeprefix("ft:").split(":")[0])
    if alias in MODELS:
        return replace(MODELS[alias], name=name, snapshot=name)
    for pattern, family in _FAMILIES:
        if pattern.match(alias):
            return replace(MODELS[family], name=name, snapshot=name)
    return SimModel(name=name)


def further_models(more: Mapping[str, str] | Iterable[str | SimModel]) -> dict[str, SimModel]:
    """Models besides the known ones, by name.

    Args:
        more: Names (with the rules of their family), rules, or a mapping of alias to snapshot.
    """
    if isinstance(more, Mapping):
        return {
            name: replace(model_rules(name), name=name, snapshot=snapshot)
            for name, snapshot in more.items()
        }
    rules = [model if isinstance(model, SimModel) else model_rules(model) for model in more]
    return {model.name: model for model in rules}


EMBEDDERS: Mapping[str, int] = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}
"""OpenAI's embedding models and the length of their vectors."""

OLLAMA_MODELS: Mapping[str, int] = {"llama3.1:latest": 131_072, "nomic-embed-text:latest": 2048}
"""Ollama's models and the largest context they were trained for."""

OLLAMA_DEFAULT_NUM_CTX = 4096
"""The window where a request names no `num_ctx`; longer prompts are cut without a word."""
