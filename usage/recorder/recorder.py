"""The recorder: a LangChain callback handler that accounts for every call.

    from allotrope.usage.recorder.recorder import UsageRecorder

    recorder = UsageRecorder("sqlite:///usage.db")
    model.invoke("Hello", config={"callbacks": [recorder]})

The same handler serves `invoke` and `ainvoke`: it does so little (some microseconds) that it runs
inline in both. Reading, pricing and writing happen in a background thread.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from allotrope.exceptions import LeftQueueError
from allotrope.stores.errors import error_name
from allotrope.usage.ledger.places import default_spill_path
from allotrope.usage.prices.prices import PriceBook
from allotrope.usage.recorder.estimate import CountText, ExactCounter
from allotrope.usage.recorder.exits import forget_exit, on_exit
from allotrope.usage.recorder.reading import Ended, Reader, Started
from allotrope.usage.recorder.rows import CallRow
from allotrope.usage.recorder.spill import Spill
from allotrope.usage.recorder.writer import Writer, WriterStats

if TYPE_CHECKING:
    from allotrope.usage.ledger.ledger import Ledger  # SQLAlchemy: the writer's thread imports it

logger = logging.getLogger(__name__)

OPEN_CALLS_LIMIT = 100_000
"""Calls that may be under way at once; the oldest are forgotten beyond that (they leaked)."""


class UsageRecorder(BaseCallbackHandler):
    """Records every model call of any LangChain app in a ledger.

    Args:
        ledger: Where to: a ledger or its URL. It is opened in the background while the first call
            is under way.
        prices: Where prices are found; default: the price list without overrides.
        count_text: Counts tokens of calls whose provider reported none; default: exactly, by the
            o200k_base vocabulary.
        tenant: Whose call it is where the run's metadata doesn't say.
        spill_path: File for rows that can't be written; default: beside the SQLite ledger.
        queue_size: Calls that may wait for the writer.
        batch_size: Most rows of one transaction.
        flush_interval_s: Longest time a call waits to be committed, and what a crash may lose.
        on_row: Told of each row in the background thread.
        on_written: Told there of the rows that the ledger or the spill has.
        on_idle: Called by the background thread about once per flush.
    """

    raise_error = False
    run_inline = True
    ignore_chain = True
    ignore_agent = True
    ignore_retriever = True
    ignore_retry = True
    ignore_custom_event = True

    def __init__(
        self,
        ledger: "Ledger | str",
        *,
        prices: PriceBook | None = None,
        count_text: CountText | None = None,
        tenant: str = "default",
        spill_path: Path | None = None,
        queue_size: int = 10_000,
        batch_size: int = 500,
        flush_interval_s: float = 0.5,
        on_row: Callable[[CallRow], None] | None = None,
        on_written: Callable[[Sequence[CallRow]], None] | None = None,
        on_idle: Callable[[], None] | None = None,
    ) -> None:
        reader = Reader(
            prices=prices or PriceBook(), count_text=count_text or ExactCounter(), tenant=tenant
        )
        self.writer = Writer(
            ledger,
            reader,
            Spill(
                spill_path or default_spill_path(ledger if isinstance(ledger, str) else ledger.url)
            ),
            queue_size=queue_size,
            batch_size=batch_size,
            flush_interval_s=flush_interval_s,
            on_row=on_row,
            on_written=on_written,
            on_idle=on_idle,
        )
        self._open: dict[UUID, Started] = {}
        self._exit_known = False

    @property
    def stats(self) -> WriterStats:
        """What was recorded, written, spilled and lost so far."""
        return self.writer.stats

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Waits until all calls that ended are in the ledger; False if that took too long."""
        return self.writer.flush(timeout_s)

    def close(self, timeout_s: float = 10.0) -> bool:
        """Flushes and ends the background thread; recording again starts a new one."""
        forget_exit(self.leave)
        self._exit_known = False
        self._end_all()
        return self.writer.close(timeout_s)

    def leave(self, timeout_s: float) -> None:
        """Keeps what is open at the end of the process.

        Args:
            timeout_s: How long the ledger is waited for, seconds; what isn't in it by then goes to
                the spill.
        """
        self._end_all()
        self.writer.leave(timeout_s)

    def refused(self, run_id: UUID, error: BaseException, started: Started | None = None) -> None:
        """Records a call that a budget refused, whether or not its start was seen."""
        if started is not None:
            self._open.setdefault(run_id, started)
        self._end(run_id, error=error)

    def on_chat_model_start(
        self,
        serialized: dict[str, Any] | None,
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Notes the start of a chat model's call."""
        prompt = messages[0] if messages else []
        self._begin(begun(serialized, prompt, run_id, parent_run_id, metadata, kwargs), run_id)

    def on_llm_start(
        self,
        serialized: dict[str, Any] | None,
        prompts: list[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Notes the start of a text model's call."""
        self._begin(begun(serialized, prompts, run_id, parent_run_id, metadata, kwargs), run_id)

    def on_llm_new_token(
        self, token: Any, *, chunk: Any = None, run_id: UUID, **kwargs: Any
    ) -> None:
        """Notes when the first content of a stream comes, and what came."""
        started = self._open.get(run_id)
        if started is None:
            return
        if started.first_token is None and (
            token or getattr(getattr(chunk, "message", None), "tool_call_chunks", None)
        ):
            started.first_token = time.perf_counter()
        if token and isinstance(token, str):
            started.said.append(token)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Hands an answered call to the writer."""
        self._end(run_id, response=response)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Hands a call that failed, or whose stream ended early, to the writer."""
        self._end(run_id, response=kwargs.get("response"), error=error)

    def _end_all(self) -> None:
        for run_id in list(self._open):
            self._end(run_id, error=GeneratorExit())

    def _begin(self, started: Started, run_id: UUID) -> None:
        if not self._exit_known:
            self._exit_known = True
            on_exit(self.leave)
            self.writer.start()
        if len(self._open) >= OPEN_CALLS_LIMIT:
            self._open.pop(next(iter(self._open)), None)
        self._open[run_id] = started

    def _end(
        self, run_id: UUID, *, response: LLMResult | None = None, error: BaseException | None = None
    ) -> None:
        started = self._open.pop(run_id, None)
        if started is None or isinstance(error, LeftQueueError):  # no request was made
            return
        try:
            self.writer.put(_ended(started, response, error))
        except Exception as exc:  # noqa: BLE001 - recording never breaks a turn
            logger.warning("A call could not be recorded: %s", error_name(exc))


def begun(
    serialized: Mapping[str, Any] | None,
    prompt: Sequence[BaseMessage | str],
    run_id: UUID,
    parent_run_id: UUID | None,
    metadata: Mapping[str, Any] | None,
    kwargs: Mapping[str, Any],
) -> Started:
    """A call that begins now, from what LangChain tells a callback."""
    path = (serialized or {}).get("id")
    return Started(
        id=run_id.hex,
        run=(parent_run_id or run_id).hex,
        at=time.time_ns() // 1000,
        clock=time.perf_counter(),
        class_name=path[-1] if isinstance(path, list) and path else "",
        metadata=metadata or {},
        arguments=kwargs.get("invocation_params") or {},
        prompt=prompt,
    )


def _ended(started: Started, response: LLMResult | None, error: BaseException | None) -> Ended:
    """Takes what is needed now: a cache in memory changes its generations on the next hit."""
    ended = Ended(started, time.perf_counter(), error=error)
    if response is None or not response.generations or not response.generations[0]:
        ended.texts = ["".join(started.said)]  # LangChain keeps nothing of a call that it cuts off
        return ended
    generations = response.generations[0]
    first = generations[0]
    ended.texts = [generation.text for generation in generations]
    ended.info = first.generation_info or {}
    ended.output = response.llm_output or {}
    if isinstance(first, ChatGeneration):
        ended.message = first.message
        ended.usage = getattr(first.message, "usage_metadata", None)
    return ended
