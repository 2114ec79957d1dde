"""One run of the audit: processes, stores and provider are set up, asked, broken, and read."""

import asyncio
import json
import random
import shutil
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import _audit_reading as reading
from _audit_doors import START_S, Door, ServeDoor, WorkerDoor, heard
from _audit_facts import BUSY, Asked, Facts, Heard, Span
from _audit_plan import SPENDER, TENANTS, TOKEN, Conversation, Plan, Question
from _audit_servers import AuditPostgres, AuditRedis, Disk
from _audit_troubles import Troubles
from _postgres import free_port

from allotrope.testing import ProviderSimulator, Reply, SimRequest, ToolCall

FIRST_TOKENS = 1_000
"""An answer counts this many output tokens, and two more with each request."""

WATCH_S = 0.05
LATE_S = 0.1
"""Who sleeps for `WATCH_S` and wakes so much later had no time of the machine, seconds."""

MEMORY = "Look it up in your memory first."
TRIES = 3


def answer(request: SimRequest) -> Reply:
    """What the simulated model says: the mark of the question that it was asked."""
    tokens = FIRST_TOKENS + 2 * request.number + (request.provider == "ollama")
    last = request.asked.turns[-1] if request.asked.turns else None
    marks = TOKEN.findall(request.text)
    offered = [tool.name for tool in request.asked.tools]
    counted: dict[str, Any] = {"output_tokens": tokens, "reasoning_tokens": 0}
    if MEMORY in request.text and "recall_memory" in offered and last and last.role == "user":
        call = ToolCall("recall_memory", {"query": "our word"})
        return Reply(tool_calls=(call,), **counted)
    mark = f"<{marks[-1]} n{tokens}>" if marks else "Noted."
    return Reply(f"{mark} It is blue, as far as I can say.", token_delay_s=0.005, **counted)


class Stage:
    """One run.

    Args:
        plan: What to do.
        parallel: Conversations at once.
        patience_s: A turn that takes longer has no end, seconds.
        logs: Where the processes' logs are copied to.
    """

    def __init__(
        self, plan: Plan, *, parallel: int, patience_s: float, logs: Path | None = None
    ) -> None:
        self.plan = plan
        self._logs = logs
        self._parallel = parallel
        self._patience_s = patience_s
        mark = f"{random.Random(plan.seed).getrandbits(64):016x}"
        self.canary, self.password = f"canary{mark}", f"pwcanary{mark[::-1]}"
        self.heard: list[Heard] = []
        self.done = 0
        self._seen_ended: dict[tuple[str, int], float] = {}
        self._late: list[Span] = []

    async def run(self) -> Facts:
        """All of it.

        Raises:
            RuntimeError: There is no PostgreSQL to be had, or a process doesn't start.
        """
        began = time.time()
        self.folder = Path(tempfile.mkdtemp(prefix="alt-audit-"))
        self.disk = Disk(self.folder / "data", megabytes=512)
        self.redis = AuditRedis()
        self.postgres = self._postgres()
        self.simulator = ProviderSimulator(
            seed=self.plan.seed, latency_s=0.03, token_delay_s=0.005, reasoning_tokens=0
        )
        try:
            with self.simulator:
                self._zero = time.time() - self.simulator.elapsed_s
                self._plan_faults()
                self.simulator.answer_with(answer)
                self.doors = self._doors()
                await asyncio.gather(*(door.start() for door in self.doors.values()))
                troubles = Troubles(self)
                watching = asyncio.create_task(self._watch())
                breaking = asyncio.create_task(troubles.run())
                room = asyncio.Semaphore(self._parallel)
                await asyncio.gather(*(self._talk(one, room) for one in self.plan.conversations))
                await breaking
                ends = [
                    said
                    for found in await asyncio.gather(*(d.end() for d in self.doors.values()))
                    for said in found
                ]
                watching.cancel()
                facts = Facts(
                    heard=self.heard,
                    asked=self._asked(),
                    spans=[*troubles.spans, *self._late],
                    ends=ends,
                    limit=self._limit(),
                )
            facts = await asyncio.to_thread(reading.read, self, facts)
            late_s = sum(span.end - span.begin for span in self._late)
            counts = {**facts.counts, "seconds": round(time.time() - began)}
            counts["seconds without time of the machine"] = round(late_s)
            return replace(facts, counts=counts | troubles.counts())
        finally:
            await self._close()

    async def _close(self) -> None:
        for door in getattr(self, "doors", {}).values():
            if door.process is not None and door.process.poll() is None:
                door.process.kill()
        if self.postgres is not None:
            self.postgres.close()
        self.redis.close()
        self.disk.close()
        if self._logs is not None:
            for log in self.folder.glob("*.log"):
                shutil.copy(log, self._logs / f"{self.plan.seed}.{self.plan.store}.{log.name}")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _postgres(self) -> AuditPostgres | None:
        if self.plan.store != "postgres":
            return None
        return AuditPostgres(self.password)

    def _plan_faults(self) -> None:
        for provider, share in (("openai", 1.0), ("ollama", 0.3)):
            for kind, chance, more in (
                ("429", 0.015, {"retry_after": 0.3}),
                ("500", 0.015, {}),
                ("503", 0.015, {}),
                ("slow", 0.02, {"seconds": 1.0}),
                ("cut", 0.02, {"after_tokens": 4}),
                ("reset", 0.01, {}),
                ("reset_mid_stream", 0.01, {"after_tokens": 3}),
                ("stall", 0.004, {"after_tokens": 3}),
            ):
                self.simulator.faults.add(
                    kind, provider=provider, probability=chance * share, **more
                )

    def _limit(self) -> int:
        """Tokens of the spender's budget: about a third of what its questions would take."""
        return max(6_000, 2_000 * self.plan.asked_by(SPENDER) // 2)

    def settings(self) -> dict[str, str]:
        """The environment of every process."""
        found = {
            **self.simulator.environment,
            "OPENAI_API_KEY": f"sk-{self.canary}-reader",
            "REDIS_URL": self.redis.url,
            "ALLOTROPE_DATA_DIR": str(self.disk.folder),
            "ALLOTROPE_EMBEDDED__ENABLED": "false",
            "ALLOTROPE_OPENAI__TODAY": "2026-11-30",
            "ALLOTROPE_OPENAI__REFRESH_MODELS": "false",
            "ALLOTROPE_OPENAI__TIMEOUT_S": "15",
            "ALLOTROPE_OPENAI__FIRST_TOKEN_TIMEOUT_S": "6",
            "ALLOTROPE_OPENAI__IDLE_TIMEOUT_S": "3",
            "ALLOTROPE_OLLAMA__TIMEOUT_S": "15",
            "ALLOTROPE_RESILIENCE__BREAKS_S": "[1.0, 2.0]",
            "ALLOTROPE_AGENTS__TURN_WAIT_S": "45",
            "ALLOTROPE_CACHE__COMPRESS_OVER_BYTES": "100000000",
            "ALLOTROPE_SERVE__REQUESTS_PER_MINUTE": "null",
            "ALLOTROPE_SERVE__RUNNING_TURNS": "256",
            "ALLOTROPE_LOG__LEVEL": "INFO",
            "ALLOTROPE_LOG__FORMAT": "json",
            "ALLOTROPE_USAGE__BUDGETS": json.dumps(
                [
                    {
                        "name": "spender",
                        "scope": "tenant",
                        "match": SPENDER,
                        "tokens": self._limit(),
                        "period": "month",
                    }
                ]
            ),
            "ALLOTROPE_USAGE__EXPECTED_OUTPUT_TOKENS": "4000",
        }
        if self.postgres is not None:
            found |= self.postgres.environment()
        return found

    def _doors(self) -> dict[str, Door]:
        found: dict[str, Door] = {}
        names = {question.door for one in self.plan.conversations for question in one.questions}
        workers = sorted(name for name in names if name.startswith("worker"))
        for name in [*workers, *(f"serve-{tenant}" for tenant in TENANTS)]:
            environ = self.settings()
            environ["OPENAI_API_KEY"] = f"sk-{self.canary}-{name}"
            log = self.folder / f"{name}.log"
            if name.startswith("serve-"):
                environ |= {
                    "ALLOTROPE_TENANT": name.removeprefix("serve-"),
                    "ALLOTROPE_SERVE__PORT": str(free_port()),
                    "ALLOTROPE_SERVE__TOKEN": f"{self.canary}-token",
                }
                found[name] = ServeDoor(name, environ, log)
            else:
                found[name] = WorkerDoor(name, environ, log)
        return found

    async def _talk(self, conversation: Conversation, room: asyncio.Semaphore) -> None:
        async with room:
            if conversation.crowd:
                await asyncio.gather(
                    *(self._ask(conversation, one, again=False) for one in conversation.questions)
                )
                return
            for question in conversation.questions:
                await self._ask(conversation, question, again=True)

    async def _ask(self, conversation: Conversation, question: Question, *, again: bool) -> None:
        """Asks; what wasn't taken is asked once more, and so is, in a row, what wasn't answered."""
        chance = random.Random(f"{self.plan.seed} {question.token}")
        for number in range(TRIES):
            door = self.doors[question.door]
            async with asyncio.timeout(START_S):
                await door.ready.wait()
            began = time.time()
            try:
                door.running += 1
                async with asyncio.timeout(self._patience_s):
                    found = await door.ask(conversation, question)
            except TimeoutError:
                found = {"ended": "hung"}
            finally:
                door.running -= 1
            self.heard.append(heard(conversation, question, found, began))
            refused = bool(found.get("busy") or found.get("again"))
            failed = again and found["ended"] in ("died", "error") and not found.get("refused")
            if number == TRIES - 1 or not (refused or failed):
                break
            await asyncio.sleep(chance.uniform(0.2, 1.0))
        self.done += 1

    async def _watch(self) -> None:
        """Notes when each request of the provider ended, and when the machine had no time."""
        pending: set[int] = set()
        seen = 0
        while True:
            requests = self.simulator.requests
            pending |= set(range(seen, len(requests)))
            seen = len(requests)
            for index in list(pending):
                one = requests[index]
                if one.finished or one.client_left:
                    self._seen_ended[one.provider, one.number] = time.time()
                    pending.discard(index)
            due = time.time() + WATCH_S
            await asyncio.sleep(WATCH_S)
            if time.time() > due + LATE_S:
                self._late.append(Span(BUSY, due, time.time()))

    def _asked(self) -> Iterable[Asked]:
        return [self._one(request) for request in self.simulator.chats()]

    def _one(self, request: SimRequest) -> Asked:
        turns = request.asked.turns
        begin = self._zero + request.at
        return Asked(
            provider=request.provider,
            number=request.number,
            account=request.account,
            at=begin,
            ended=self._seen_ended.get((request.provider, request.number), begin),
            counted=request.status == 200 and request.finished and not request.client_left,
            input_tokens=request.usage.get("input", 0),
            output_tokens=request.usage.get("output", 0),
            prompt=" ".join(turn.text for turn in turns),
            questions=tuple(
                mark for turn in turns if turn.role == "user" for mark in TOKEN.findall(turn.text)
            ),
        )
