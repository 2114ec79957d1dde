"""Budgets in force: a call is refused before it is made, and settled when it is known.

`Budgets` does the accounting; `BudgetGuard` is the LangChain handler that asks it.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.runnables.config import ensure_config

from allotrope.contracts import Configurable, Metadata
from allotrope.exceptions import BudgetExceededError, LocalOnlyError
from allotrope.settings.usage import BudgetSettings
from allotrope.stores.errors import error_name
from allotrope.support.providers import is_local
from allotrope.usage.budgets import periods as pure
from allotrope.usage.budgets.periods import Account, Directive
from allotrope.usage.budgets.reservations import Balance, Booking, Reservations
from allotrope.usage.prices.prices import PriceBook
from allotrope.usage.recorder.reading import Started, model_of, name_in, provider_of
from allotrope.usage.recorder.recorder import UsageRecorder, begun
from allotrope.usage.recorder.rows import CallRow, moment, scope_names, user_account
from allotrope.usage.recorder.tokens import Tokens

logger = logging.getLogger(__name__)

CHARACTERS_PER_TOKEN = 3
"""For estimates before a call: a token has about four characters of English; three errs on the
expensive side, as a reservation should."""

SpentSoFar = Callable[[Account, datetime], int]
"""What the ledger says an account used in the period of a moment."""

OnLevel = Callable[[Account, int, Balance, datetime], None]
"""Told when an account passes a threshold: account, level from 1, balance, moment."""


@dataclass(frozen=True, slots=True)
class BudgetState:
    """One account as it stands, for people."""

    account: Account
    balance: Balance
    directive: Directive
    forecast: pure.Forecast | None
    period: pure.Span


class Budgets:
    """Holds limits over all processes.

    Args:
        budgets: The limits.
        reservations: Where reservations are kept.
        prices: For estimates.
        spent: What the ledger says.
        expected_output_tokens: Reserved for an answer before a model's usual length is known.
        hysteresis: Percentage points, see `budgets.level`.
        on_level: Told of thresholds passed.
        now: The moment, aware.
    """

    def __init__(
        self,
        budgets: Sequence[BudgetSettings],
        *,
        reservations: Reservations,
        prices: PriceBook,
        spent: SpentSoFar,
        expected_output_tokens: int = 1_000,
        hysteresis: float = 5.0,
        on_level: OnLevel | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.budgets = tuple(budgets)
        self._reservations = reservations
        self._prices = prices
        self._spent = spent
        self._expected = expected_output_tokens
        self._hysteresis = hysteresis
        self._on_level = on_level
        self._now = now
        self._lock = threading.Lock()
        self._open: dict[str, list[tuple[Account, str, int]]] = {}
        self._levels: dict[str, int] = {}
        self._seen: dict[str, Account] = {}
        self._lengths: dict[str, float] = {}

    def estimate(self, model: str, input_tokens: int, output_limit: int | None) -> Tokens:
        """Tokens to reserve for a call: its input, and the answer's usual length with a margin."""
        usual = self._lengths.get(model)
        output = self._expected if usual is None else max(16, int(usual * 1.5))
        return Tokens(input=input_tokens, output=min(output, output_limit or output))

    def reserve(
        self,
        call: str,
        names: Mapping[str, str],
        *,
        provider: str,
        model: str,
        tokens: Tokens,
        allowance: BudgetSettings | None = None,
    ) -> None:
        """Books a call's estimate on every account it counts against.

        Args:
            call: Its id.
            names: Scope to name: agent, tenant, user, thread.
            provider: Who is asked.
            model: Which model.
            tokens: The estimate.
            allowance: A budget that this call's run brought along.

        Raises:
            BudgetExceededError: A budget refuses it; nothing was booked.
        """
        budgets = self.budgets if allowance is None else (*self.budgets, allowance)
        found = pure.accounts(budgets, _accounted(names))
        if not found:
            return
        now = self._now()
        local = is_local(provider)
        cost = self._prices.cost(provider, model, tokens, at=now)
        bookings = []
        for account in found:
            period = pure.span(account.budget.period, now)
            self._seen[account.key(now)] = account
            bookings.append(
                Booking(
                    account.key(now),
                    account.amount(cost, tokens.total),
                    _ceiling(account, local=local),
                    int((period.end - now).total_seconds()) + 3 * 86_400,
                )
            )
        refusing, balances = self._reservations.reserve(
            call, bookings, lambda key: self._spent(self._seen[key], now)
        )
        if refusing is not None:
            account, wanted = found[refusing], bookings[refusing].amount
            raise _refusal(account, balances[refusing], wanted, now, local=local)
        with self._lock:
            self._open[call] = [
                (account, booking.key, booking.amount)
                for account, booking in zip(found, bookings, strict=True)
            ]

    def settle(self, row: CallRow) -> None:
        """Replaces a call's reservation by what it cost; runs in the writer's thread."""
        if row.status == "refused":
            return
        with self._lock:
            open_ = self._open.pop(row.id, None)
        at = moment(row.at)
        if open_ is not None:
            parts: list[tuple[Account, str, int | None]] = list(open_)
        else:
            found = pure.accounts(self.budgets, scope_names(row))
            parts = [(account, account.key(at), None) for account in found]
        if not parts:
            return
        if row.status == "ok" and not row.cached and row.output_tokens:
            usual = self._lengths.get(row.model, float(row.output_tokens))
            self._lengths[row.model] = 0.9 * usual + 0.1 * row.output_tokens
        tokens = row.input_tokens + row.output_tokens
        balances = self._reservations.settle(
            row.id,
            [(key, booked, account.amount(row.cost, tokens)) for account, key, booked in parts],
        )
        for (account, key, _), balance in zip(parts, balances, strict=True):
            if balance is not None:
                self._seen[key] = account
                self._judge(account, key, balance, at)

    def written(self, rows: Sequence[CallRow]) -> None:
        """These calls are in the ledger now, or in its spill; runs in the writer's thread."""
        self._reservations.written(row.id for row in rows)

    def catch_up(self) -> None:
        """Learns what other processes spent; the writer's thread calls it after each flush."""
        now = self._now()
        self._reservations.catch_up(lambda key: self._spent(self._seen[key], now))

    def directive(self, names: Mapping[str, str]) -> Directive:
        """What the budgets ask of a call with these names: switch profile, local only, refuse.

        Args:
            names: Scope to name: agent, tenant, user, thread.
        """
        strictest = Directive()
        for account in pure.accounts(self.budgets, _accounted(names)):
            state = self.state(account)
            if pure.STRICTNESS.index(state.directive.action) > pure.STRICTNESS.index(
                strictest.action
            ):
                strictest = state.directive
        return strictest

    def state(self, account: Account) -> BudgetState:
        """An account as it stands now."""
        now = self._now()
        key = account.key(now)
        self._seen[key] = account
        period = pure.span(account.budget.period, now)
        life_s = int((period.end - now).total_seconds()) + 3 * 86_400
        _, (balance,) = self._reservations.reserve(
            "look", [Booking(key, 0, None, life_s)], lambda _: self._spent(account, now)
        )
        passed = self._judge(account, key, balance, now)
        return BudgetState(
            account,
            balance,
            pure.directive(account, passed, balance.spent),
            pure.forecast(balance.spent, account.limit, period, now),
            period,
        )

    def states(self) -> list[BudgetState]:
        """Every account that is known: those without a name to wait for, and those seen so far."""
        now = self._now()
        found = {account.key(now): account for account in self._seen.values()}
        for budget in self.budgets:
            if budget.scope == "all" or budget.match is not None:
                account = Account(budget, budget.match or "")
                found.setdefault(account.key(now), account)
        return [self.state(account) for _, account in sorted(found.items())]

    def reconcile(self) -> None:
        """Corrects balances upwards to the ledger, for what a lost Redis or a crash forgot."""
        now = self._now()
        for account in {account.key(now): account for account in self._seen.values()}.values():
            self._reservations.raise_spent(account.key(now), self._spent(account, now))
        with self._lock:
            current = {account.key(now) for account in self._seen.values()}
            self._seen = {k: v for k, v in self._seen.items() if k in current}

    def _judge(self, account: Account, key: str, balance: Balance, at: datetime) -> int:
        thresholds = account.budget.thresholds
        ratio = balance.spent / account.limit
        with self._lock:
            before = self._levels.get(key, 0)
            after = pure.level(ratio, thresholds, before, self._hysteresis)
            self._levels[key] = after
        if self._on_level is not None:
            for passed in range(before + 1, after + 1):
                self._on_level(account, passed, balance, at)
        return after


class BudgetGuard(BaseCallbackHandler):
    """Refuses calls over budget by raising `BudgetExceededError` before they are made.

    In an async run it is not inline: LangChain runs it in a thread, so that Redis never blocks the
    event loop; the call waits for it all the same. It hears only the start of chat models' calls:
    the rest would cost a thread's hop per token.

    Args:
        budgets: The accounting.
        recorder: Told of refusals, so that they stand in the ledger.
        tenant: Whose call it is where the run's metadata doesn't say.
    """

    raise_error = True
    run_inline = False
    ignore_llm = True
    ignore_chain = True
    ignore_agent = True
    ignore_retriever = True
    ignore_retry = True
    ignore_custom_event = True

    def __init__(
        self, budgets: Budgets, *, recorder: UsageRecorder | None = None, tenant: str = "default"
    ) -> None:
        self.budgets = budgets
        self._recorder = recorder
        self._tenant = tenant
        logging.getLogger("langchain_core.callbacks.manager").addFilter(_is_no_refusal)

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
        """Reserves the call's estimate, or refuses it."""
        prompt = messages[0] if messages else []
        self._ask(begun(serialized, prompt, run_id, parent_run_id, metadata, kwargs), run_id)

    def _ask(self, started: Started, run_id: UUID) -> None:
        asked = started.metadata
        names = {
            "agent": name_in(asked, Metadata.AGENT),
            "tenant": name_in(asked, Metadata.TENANT) or self._tenant,
            "user": name_in(asked, Metadata.USER),
            "thread": name_in(asked, "thread_id"),
        }
        model = model_of(started)
        try:
            self.budgets.reserve(
                started.id,
                names,
                provider=provider_of(started),
                model=model,
                tokens=self.budgets.estimate(model, _input_tokens(started), _limit(started)),
                allowance=pure.allowance(name_in(asked, Metadata.ALLOWANCE)),
            )
        except BudgetExceededError as exc:
            if self._recorder is not None:
                self._recorder.refused(run_id, exc, started)
            if isinstance(exc, LocalOnlyError):
                exc.provider, exc.model = provider_of(started), model
                trail = ensure_config().get("configurable", {}).get(Configurable.TRAIL)
                if isinstance(trail, list):
                    trail.append(exc)
            raise
        except Exception as exc:  # noqa: BLE001 - a store that is down must not stop every turn
            logger.warning("A budget could not be checked: %s", error_name(exc))


def _accounted(names: Mapping[str, str]) -> dict[str, str]:
    """The names as budgets count them."""
    user = user_account(names.get("tenant") or "", names.get("user") or "")
    return {**names, "user": user}


def _is_no_refusal(record: logging.LogRecord) -> bool:
    """Keeps LangChain from logging each refusal as a handler's error: its caller gets it raised."""
    args = record.args
    return not (isinstance(args, tuple) and args[:1] == (BudgetGuard.__name__,))


def _input_tokens(started: Started) -> int:
    characters = 0
    for message in started.prompt:
        content = message if isinstance(message, str) else message.content
        if isinstance(content, str):
            characters += len(content)
        else:
            characters += sum(
                len(str(block.get("text") or "")) if isinstance(block, dict) else len(block)
                for block in content
            )
    return characters // CHARACTERS_PER_TOKEN + 4 * len(started.prompt) + 3


def _limit(started: Started) -> int | None:
    for name in ("max_completion_tokens", "max_output_tokens", "max_tokens"):
        limit = started.arguments.get(name)
        if type(limit) is int and limit > 0:
            return limit
    return None


def _ceiling(account: Account, *, local: bool) -> int | None:
    """Where calls are refused: at `refuse`, and for paid providers at `local_only` already."""
    actions = {"refuse"} if local else {"refuse", "local_only"}
    percents = [t.percent for t in account.budget.thresholds if t.action in actions]
    if not percents or (local and account.budget.usd is not None and "refuse" not in actions):
        return None
    return int(account.limit * min(percents) / 100)


def _refusal(
    account: Account, balance: Balance, wanted: int, now: datetime, *, local: bool
) -> BudgetExceededError:
    period = pure.span(account.budget.period, now)
    left = (period.end - now).total_seconds()
    held = f" This call is expected to use {account.said(wanted)}."
    if balance.reserved:
        held += f" {account.said(balance.reserved)} are reserved by calls under way."
    local_only = not local and any(t.action == "local_only" for t in account.budget.thresholds)
    hint = (
        "Local models may still answer."
        if local_only
        else f"It starts anew on {period.end:%Y-%m-%d} at 00:00 UTC; raise the limit to go on now."
    )
    kind = LocalOnlyError if local_only else BudgetExceededError
    return kind(
        f"The call was not made: {pure.sentence(account, balance.spent)}{held}",
        hint=hint,
        retry_after_s=left,
    )
