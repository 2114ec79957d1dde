"""The answer to one turn, and what it took: the object that `--json` prints."""

import threading
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from allotrope.contracts import STAMP, Metadata
from allotrope.exceptions import BudgetExceededError
from allotrope.usage.prices.prices import PriceBook
from allotrope.usage.recorder.tokens import from_usage_metadata

USAGE_FIELDS = ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens")


@dataclass(frozen=True)
class Reply:
    """The answer to one turn.

    Attributes:
        answer: The text.
        agent: Who answered.
        thread_id: The conversation it belongs to.
        run_id: This turn.
        provider: `openai`, `ollama` or `embedded`; `none` when no model was asked, because the
            input couldn't be used (the answer says why).
        model: The model that answered.
        cached: None, `exact` or `semantic`.
        degraded: None, or `reason`, `message` and `retry_after_s`.
        succession: None, or `from`, `to` and `reason` where the successor of a model that ended
            answered in its place.
        truncated: Whether the answer ended because it was as long as it may be.
        usage: Tokens spent in this turn, all calls together.
        cost_usd: What they cost in USD; None while a price is unknown.
        latency_ms: Milliseconds from question to answer.
        repairs: What was changed of the last request because its model refused it, in sentences.
        asks: None, or what a person is asked before the turn goes on: `question`, `answers` and
            the names of the `files` in question. The next text of the thread is the answer.
        files: Paths of the files that the turn wrote.
    """

    answer: str
    agent: str
    thread_id: str
    run_id: str
    provider: str
    model: str
    cached: str | None
    degraded: dict[str, Any] | None
    succession: dict[str, str] | None = field(default=None, kw_only=True)
    truncated: bool = field(default=False, kw_only=True)
    usage: dict[str, int]
    cost_usd: Decimal | None
    latency_ms: float
    repairs: tuple[str, ...] = ()
    asks: dict[str, Any] | None = field(default=None, kw_only=True)
    files: tuple[str, ...] = field(default=(), kw_only=True)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; the fields and their order stay stable."""
        return {
            "answer": self.answer,
            "agent": self.agent,
            "thread_id": self.thread_id,
            "run_id": self.run_id,
            "provider": self.provider,
            "model": self.model,
            "cached": self.cached,
            "degraded": self.degraded,
            "succession": self.succession,
            "repairs": list(self.repairs),
            "truncated": self.truncated,
            "usage": self.usage,
            "cost_usd": None if self.cost_usd is None else f"{self.cost_usd:.6f}",
            "latency_ms": round(self.latency_ms, 1),
            "asks": self.asks,
            "files": list(self.files),
        }


@dataclass(eq=False)
class TurnMeter(BaseCallbackHandler):
    """Adds up the tokens and the cost of all model calls of one turn.

    Args:
        prices: What models cost.
    """

    prices: PriceBook
    usage: dict[str, int] = field(default_factory=lambda: dict.fromkeys(USAGE_FIELDS, 0))
    cost_usd: Decimal | None = Decimal(0)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    run_inline = True
    raise_error = True

    def on_chain_start(
        self,
        serialized: dict[str, Any] | None,
        inputs: Any,
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Refuses to ask a chain of models once the run has cost what its profile's budget allows.

        Not at a model's own start: where an inline handler raises there, LangChain never awaits the
        coroutines that it has made for the handlers after it.

        Raises:
            BudgetExceededError: It has; the question stays in the thread.
        """
        told = metadata or {}
        self.check(told.get(Metadata.MAX_COST_USD), profile=told.get(Metadata.PROFILE, ""))

    def check(self, limit: str | None, *, profile: str) -> None:
        """Whether one more call may be made.

        Args:
            limit: What a run may cost, USD; None for no limit.
            profile: Whose limit it is.

        Raises:
            BudgetExceededError: So much is spent already.
        """
        spent = self.cost_usd
        if limit is None or spent is None or spent < Decimal(limit):
            return
        raise BudgetExceededError(
            f"This run has cost {spent:.6f} USD; the profile {profile!r} allows {limit}.",
            hint="Raise the profile's budget.max_cost_usd, or ask for less at a time.",
        )

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Counts one call."""
        for generations in response.generations:
            for generation in generations[:1]:
                if isinstance(generation, ChatGeneration):
                    self._count(generation.message)

    def _count(self, message: Any) -> None:
        provenance = message.response_metadata.get(STAMP)
        if not isinstance(message, AIMessage) or not isinstance(provenance, dict):
            return
        spent = message.usage_metadata
        if spent is None or provenance.get("cached"):
            return
        tokens = from_usage_metadata(spent)
        if tokens is None:
            return
        tier = message.response_metadata.get("service_tier") or "default"
        cost = self.prices.cost(provenance["provider"], provenance["model"], tokens, tier=str(tier))
        with self._lock:
            for name, value in zip(
                USAGE_FIELDS,
                (tokens.input, tokens.output, tokens.cached, tokens.reasoning),
                strict=True,
            ):
                self.usage[name] += value
            self.cost_usd = None if cost is None or self.cost_usd is None else self.cost_usd + cost
