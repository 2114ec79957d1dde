"""From what LangChain hands a callback to a row of the ledger. No I/O; runs in the writer's thread.

Works with Allotrope's chain (its provenance, docs/contracts.md) and with any other LangChain model:
a hit of LangChain's own cache is known by `usage_metadata["total_cost"] == 0`.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from allotrope.contracts import Metadata
from allotrope.exceptions import BudgetExceededError
from allotrope.support.providers import PROVIDERS
from allotrope.usage.prices.prices import Price, PriceBook
from allotrope.usage.recorder import estimate, tokens
from allotrope.usage.recorder.rows import CallRow, moment, storable
from allotrope.usage.recorder.tokens import NONE, Tokens

logger = logging.getLogger(__name__)

PREFIX_CHARACTERS = 4_096
"""About 1,024 tokens of English: OpenAI caches prompts by prefix from that length on (platform
docs, "Prompt caching")."""

_LIMIT_NAMES = ("max_completion_tokens", "max_output_tokens", "max_tokens", "num_predict")
_INTERRUPTS = (GeneratorExit, KeyboardInterrupt, asyncio.CancelledError)


@dataclass(slots=True)
class Started:
    """A call that began. Holds references only; nothing is read or copied before it ends."""

    id: str
    run: str
    at: int
    clock: float
    class_name: str
    metadata: Mapping[str, Any]
    arguments: Mapping[str, Any]
    prompt: Sequence[BaseMessage | str]
    first_token: float | None = None
    said: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Ended:
    """A call that ended, with what it gave.

    Attributes:
        message: The (partial) reply.
        info: `generation_info`, for models that aren't chat models.
        texts: Texts of all generations, for estimates.
        error: What ended it, if it failed.
    """

    started: Started
    clock: float
    message: BaseMessage | None = None
    usage: Mapping[str, Any] | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    output: Mapping[str, Any] = field(default_factory=dict)
    texts: Sequence[str] = ()
    error: BaseException | None = None


class Reader:
    """Turns ended calls into rows.

    Args:
        prices: Where prices are found.
        count_text: Counts tokens where the provider reported none.
        tenant: Whose call it is where the metadata doesn't say.
        salt: Key of the prompt hashes, so that they tell nothing outside this ledger.
    """

    def __init__(
        self,
        *,
        prices: PriceBook,
        count_text: estimate.CountText,
        tenant: str = "default",
        salt: bytes = b"",
    ) -> None:
        self.salt = salt
        self._prices = prices
        self._count = count_text
        self._tenant = tenant
        self._warned: set[tuple[str, str]] = set()
        self._tool_sizes: dict[tuple[str, ...], int] = {}

    def get_ready(self) -> None:
        """Loads the prices, so that nobody waits for that when a call has ended."""
        self._prices.get_ready()

    def wait_until_ready(self) -> None:
        """Waits until tokens can be counted."""
        wait = getattr(self._count, "wait_until_ready", None)
        if wait is not None:
            wait()

    def stop_waiting(self) -> None:
        """Counts tokens by a rule where they can't be counted exactly yet."""
        stop = getattr(self._count, "stop_waiting", None)
        if stop is not None:
            stop()

    def read(self, ended: Ended) -> CallRow:
        """The row of a call that ended.

        Raises:
            CounterNotReadyError: Its tokens must be counted, and the counter isn't ready yet.
        """
        started, message = ended.started, ended.message
        reply = dict(getattr(message, "response_metadata", None) or {})
        stamp = reply.get("allotrope")
        stamp = stamp if isinstance(stamp, Mapping) else {}
        asked = {**started.metadata}
        provider, model = self._who(started, reply, stamp, ended.output)
        status, error = _status(ended)
        cached = _cached(ended, stamp) if status == "ok" else ""
        tools = started.arguments.get("tools") or ()
        tools = tools if isinstance(tools, Sequence) and not isinstance(tools, str) else ()
        used, saved, estimated = NONE, NONE, False
        if cached:
            saved, estimated = self._saved(ended, stamp, tools)
        elif status in ("ok", "aborted"):
            used, estimated = self._used(ended, reply, tools, provider, model, status)
        tier = _tier(reply, started.arguments, asked)
        price = self._prices.price(provider, model, at=moment(started.at), tier=tier)
        full = _whole(asked.get(Metadata.CONTEXT_FULL_TOKENS))
        sent = _whole(asked.get(Metadata.CONTEXT_TOKENS))
        dropped = max(0, (full or 0) - (sent or 0)) if status == "ok" and not cached else 0
        failover = [entry for entry in stamp.get("failover") or () if isinstance(entry, Mapping)]
        degraded, succession = stamp.get("degraded"), stamp.get("succession")
        prompt_hash, prefix_hash = self._hashes(started.prompt)
        return CallRow(
            id=started.id,
            at=started.at,
            provider=provider,
            model=model,
            agent=name_in(asked, Metadata.AGENT),
            node=name_in(asked, "langgraph_node"),
            profile=name_in(asked, Metadata.PROFILE),
            prompt=name_in(asked, Metadata.PROMPT),
            variant=name_in(asked, Metadata.VARIANT),
            tenant=name_in(asked, Metadata.TENANT) or self._tenant,
            user_name=name_in(asked, Metadata.USER),
            thread=name_in(asked, "thread_id"),
            run=name_in(asked, Metadata.RUN_ID) or started.run,
            status=status,
            error=error,
            cached=cached,
            degraded=str(degraded.get("reason", "yes"))[:80]
            if isinstance(degraded, Mapping)
            else "",
            tier=tier,
            finish=_finish(reply, ended.info),
            retries=max(0, (_whole(stamp.get("attempts")) or 1) - 1),
            failovers=len(failover),
            failed_over_from=",".join(
                f"{entry.get('provider')}/{entry.get('model')}:{entry.get('error')}"
                for entry in failover
            )[:300],
            streamed=int(started.first_token is not None),
            estimated=int(estimated),
            input_tokens=used.input,
            cached_tokens=used.cached,
            cache_write_tokens=used.cache_write,
            output_tokens=used.output,
            reasoning_tokens=used.reasoning,
            saved_input_tokens=saved.input,
            saved_output_tokens=saved.output,
            latency_ms=round(max(0.0, ended.clock - started.clock) * 1000, 3),
            ttft_ms=_first_token(started, stamp, cached),
            cost=_cost(price, used),
            saved_cost=_cost(price, saved),
            prompt_cache_saving=None if price is None else price.prompt_cache_saving(used),
            context_saving=None if price is None else price.cost(Tokens(input=dropped)),
            price_since=price.since.isoformat() if price and price.since else None,
            price_source=price.source if price else None,
            output_limit=_limit(started.arguments),
            prompt_hash=prompt_hash,
            prefix_hash=prefix_hash,
            tools_offered=",".join(estimate.tool_names(tools))[:2000],
            tools_called=_called(message),
            tools_tokens=self._tool_size(tools),
            context_full_tokens=full,
            context_tokens=sent,
            context_window=_whole(asked.get(Metadata.CONTEXT_WINDOW)),
            stands_for=str(succession.get("from") or "")[:200]
            if isinstance(succession, Mapping)
            else "",
        )

    def _who(
        self,
        started: Started,
        reply: Mapping[str, Any],
        stamp: Mapping[str, Any],
        output: Mapping[str, Any],
    ) -> tuple[str, str]:
        provider = (
            stamp.get("provider") or provider_of(started) or reply.get("model_provider") or ""
        )
        model = (
            stamp.get("model")
            or reply.get("model_name")
            or reply.get("model")
            or output.get("model_name")
            or model_of(started)
        )
        return str(provider)[:100], str(model)[:200]

    def _used(
        self,
        ended: Ended,
        reply: Mapping[str, Any],
        tools: Sequence[Any],
        provider: str,
        model: str,
        status: str,
    ) -> tuple[Tokens, bool]:
        found, nonsense = _reported(ended, reply)
        if found is not None and (found.total or not any(ended.texts)):
            return found, False
        if nonsense and (provider, model) not in self._warned:
            self._warned.add((provider, model))
            logger.warning(
                "Model %r of %r reported usage that can't be true (%s); it is counted by us "
                "instead and marked as estimated.",
                model,
                provider,
                nonsense,
            )
        return self._counted(ended, tools), True

    def _saved(
        self, ended: Ended, stamp: Mapping[str, Any], tools: Sequence[Any]
    ) -> tuple[Tokens, bool]:
        saved = stamp.get("saved")
        found = tokens.from_saved(saved) if isinstance(saved, Mapping) else None
        if found is None or not found.total:
            found = tokens.from_usage_metadata(ended.usage or {})
        if found is not None and found.total:
            return found, False
        return self._counted(ended, tools), True

    def _counted(self, ended: Ended, tools: Sequence[Any]) -> Tokens:
        return Tokens(
            input=estimate.prompt_tokens(ended.started.prompt, tools, self._count),
            output=sum(self._count(text) for text in ended.texts if text),
        )

    def _hashes(self, prompt: Sequence[BaseMessage | str]) -> tuple[str, str]:
        if not self.salt:  # the ledger isn't open yet; a hash without its key could be guessed at
            return "", ""
        text = "\x00".join(
            part if isinstance(part, str) else f"{part.type}\x01{estimate.text_of(part)}"
            for part in prompt
        )
        whole = blake2b(text.encode("utf-8", "replace"), digest_size=12, key=self.salt)
        if len(text) < PREFIX_CHARACTERS:
            return whole.hexdigest(), ""
        start = text[:PREFIX_CHARACTERS].encode("utf-8", "replace")
        prefix = blake2b(start, digest_size=12, key=self.salt)
        return whole.hexdigest(), prefix.hexdigest()

    def _tool_size(self, tools: Sequence[Any]) -> int:
        names = tuple(estimate.tool_names(tools))
        if names not in self._tool_sizes:
            if len(self._tool_sizes) > 1000:
                self._tool_sizes.clear()
            self._tool_sizes[names] = estimate.tools_tokens(tools, estimate.count_by_rule)
        return self._tool_sizes[names]


def provider_of(started: Started) -> str:
    """The provider that is asked, before it answered."""
    lines = PROVIDERS.values()
    known = next((line.name for line in lines if line.class_name == started.class_name), None)
    return known or str(started.metadata.get("ls_provider") or "")


def model_of(started: Started) -> str:
    """The model that is asked, before it answered."""
    return str(
        started.metadata.get("ls_model_name")
        or started.arguments.get("model")
        or started.arguments.get("model_name")
        or ""
    )


def _cost(price: Price | None, used: Tokens) -> Decimal | None:
    """No tokens cost nothing, even where nobody knows the price."""
    if price is not None:
        return price.cost(used)
    return None if used.total else Decimal(0)


def _status(ended: Ended) -> tuple[str, str]:
    error = ended.error
    if error is None:
        return "ok", ""
    name = type(error).__name__
    if isinstance(error, BudgetExceededError):
        return "refused", name
    if any(ended.texts) or ended.started.first_token is not None:
        return "aborted", name
    return ("aborted" if isinstance(error, _INTERRUPTS) else "error"), name


def _cached(ended: Ended, stamp: Mapping[str, Any]) -> str:
    if stamp.get("cached") in ("exact", "semantic"):
        return str(stamp["cached"])
    usage = ended.usage or {}
    hit = "total_cost" in usage and usage["total_cost"] == 0
    return "exact" if hit else ""


def _reported(ended: Ended, reply: Mapping[str, Any]) -> tuple[Tokens | None, str]:
    """What the provider reported, and what was nonsense about it."""
    sources: list[tuple[Any, Any]] = [(ended.usage, tokens.from_usage_metadata)]
    for place in (reply, ended.output, ended.info):
        sources += [(place.get(name), tokens.from_provider) for name in ("token_usage", "usage")]
    sources += [(reply, tokens.from_provider), (ended.info, tokens.from_provider)]
    nonsense = ""
    for raw, read in sources:
        if not isinstance(raw, Mapping) or not raw:
            continue
        try:
            found = read(raw)
        except (TypeError, AttributeError, ValueError):
            found = None
        if found is not None:
            return found, ""
        numbers = {k: v for k, v in raw.items() if isinstance(v, int | float)}
        if read is tokens.from_usage_metadata and numbers and not nonsense:
            nonsense = ", ".join(f"{k}={v}" for k, v in sorted(numbers.items()))[:200]
    return None, nonsense


def _tier(reply: Mapping[str, Any], arguments: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    if asked.get(Metadata.PROCESSING) == "batch":
        return "batch"
    tier = reply.get("service_tier") or arguments.get("service_tier")
    return str(tier) if tier in ("flex", "priority", "batch", "fast", "scale") else "default"


def _finish(reply: Mapping[str, Any], info: Mapping[str, Any]) -> str:
    for place in (reply, info):
        for name in ("finish_reason", "done_reason", "stop_reason"):
            if isinstance(place.get(name), str):
                return str(place[name])[:40]
    details = reply.get("incomplete_details")
    if isinstance(details, Mapping) and details.get("reason") == "max_output_tokens":
        return "length"
    return ""


def _limit(arguments: Mapping[str, Any]) -> int | None:
    options = arguments.get("options")
    places = [arguments, options] if isinstance(options, Mapping) else [arguments]
    for place in places:
        for name in _LIMIT_NAMES:
            limit = _whole(place.get(name))
            if limit:
                return limit
    return None


def _first_token(started: Started, stamp: Mapping[str, Any], cached: str) -> float | None:
    if cached:
        return None
    told = stamp.get("ttft_ms")
    if isinstance(told, int | float) and told >= 0:
        return float(told)
    if started.first_token is None:
        return None
    return round(max(0.0, started.first_token - started.clock) * 1000, 3)


def _called(message: BaseMessage | None) -> str:
    if not isinstance(message, AIMessage):
        return ""
    return ",".join(sorted({call["name"] for call in message.tool_calls}))[:2000]


def name_in(asked: Mapping[str, Any], key: str) -> str:
    """A name of the run's metadata as the ledger keeps it; empty where there is none.

    Args:
        asked: The metadata.
        key: Such as `allotrope_user`.
    """
    value = asked.get(key)
    return "" if value is None else storable(str(value)[:200])


def _whole(value: Any) -> int | None:
    """A whole number ≥ 0 from a number or its text (metadata are texts), else None."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 19:
        value = int(value)
    return value if type(value) is int and 0 <= value < 10**12 else None
