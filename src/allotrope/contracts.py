"""Names and shapes that packages share without knowing each other: docs/contracts.md as types.

`tests/front/test_contracts.py` holds the page against this module, and that no other module writes
one of these names as a literal of its own.
"""

from typing import Any, Final, Literal, NotRequired, TypedDict

STAMP: Final = "allotrope"
"""Key in an `AIMessage`'s `response_metadata` under which its `Provenance` stands."""

END_USER: Final = "::"
"""In a user's name, between the user of a credential and what its client calls the person: budgets
and limits are the user's, facts and threads are the person's."""


class Metadata:
    """Keys in a call's `config["metadata"]`: who asks, and for what."""

    AGENT: Final = "allotrope_agent"
    PROFILE: Final = "allotrope_profile"
    PROMPT: Final = "allotrope_prompt"
    VARIANT: Final = "allotrope_variant"
    TENANT: Final = "allotrope_tenant"
    USER: Final = "allotrope_user"
    ALLOWANCE: Final = "allotrope_allowance"
    RUN_ID: Final = "allotrope_run_id"
    CACHE: Final = "allotrope_cache"
    DOCS: Final = "allotrope_docs"
    MAX_COST_USD: Final = "allotrope_max_cost_usd"
    CONTEXT_FULL_TOKENS: Final = "allotrope_context_full_tokens"
    CONTEXT_TOKENS: Final = "allotrope_context_tokens"
    CONTEXT_WINDOW: Final = "allotrope_context_window"
    PROCESSING: Final = "allotrope_processing"


class Configurable:
    """Keys in a run's `config["configurable"]`."""

    THREAD: Final = "allotrope_thread"
    """The thread's name without its tenant."""
    TRAIL: Final = "__allotrope_trail"
    """The list that collects the failures of a chain's run: models fill it, budgets add to it."""
    STREAMS: Final = "__allotrope_streams"
    """The streams of a chain under way, so that closing the chain's closes theirs."""
    LAST: Final = "__allotrope_last"
    """True when nobody else is left, so that an open circuit may be tried."""
    REPACK: Final = "__allotrope_repack"
    """`repack(messages, budget_tokens)`: the same conversation, packed into so many tokens."""


class Event:
    """The `type` of an event of a streamed run."""

    DEGRADED: Final = "degraded"
    RESTART: Final = "restart"
    CONTEXT: Final = "context"
    TOOL: Final = "tool"
    STEP: Final = "step"
    NOTICE: Final = "notice"
    TOKEN: Final = "token"  # noqa: S105 - a part of an answer
    REPLY: Final = "reply"
    BEAT: Final = "beat"
    STOPPED: Final = "stopped"


class DegradedState(TypedDict):
    """That another model answered, or a part of an answer only.

    Attributes:
        reason: The class of the first failure; of an open circuit, what opened it.
        message: A sentence for people.
        retry_after_s: Seconds until the first choice is tried again.
    """

    reason: str
    message: str
    retry_after_s: float | None


Succession = TypedDict(
    "Succession", {"from": str, "to": str, "reason": Literal["date", "retired", "refused"]}
)
"""In whose place a model of the same provider answered, and why."""


class FailedModel(TypedDict):
    """A model that failed before the one that answered; `error` is an exception's class."""

    provider: str
    model: str
    error: str


class SavedTokens(TypedDict):
    """What a cache hit didn't spend."""

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    reasoning_tokens: int


class SemanticMatch(TypedDict):
    """Why the answer to another question stands in for a fresh one."""

    question: str
    cosine: float
    score: float
    reason: str
    precision: float | None


class Provenance(TypedDict):
    """Where a reply came from; docs/contracts.md says what each key means."""

    provider: str
    model: str
    cached: Literal["exact", "semantic"] | None
    semantic: NotRequired[SemanticMatch]
    degraded: DegradedState | None
    succession: Succession | None
    repairs: list[str]
    saved: NotRequired[SavedTokens]
    attempts: int
    failover: list[FailedModel]
    latency_ms: float
    ttft_ms: float | None


class PromptAudit(TypedDict, total=False):
    """What is in a prompt and why, in plain types; kept in the state of a turn."""

    budget: int
    tokens: int
    kinds: dict[str, dict[str, int]]
    left_out: list[dict[str, Any]]
    left_out_messages: int
    shortened: list[str]
    recalled: list[dict[str, Any]]
    recalled_messages: int
    archived: int
    thread_tokens: int
    summary: dict[str, Any]
    summariser: str
    window: int | None
    prompt: dict[str, int]
    slots: list[dict[str, Any]]
    degraded: str
