"""The doors of the audit: workers with an `Agent` and `allotrope serve`, each in a process."""

import asyncio
import contextlib
import hashlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
from _audit_facts import Heard
from _audit_plan import Conversation, Question

WORKER = Path(__file__).with_name("_audit_worker.py")
START_S = 120
WORDS_BEFORE_LEAVING = 3
UNFORESEEN = frozenset({"internal_error", "invalid_api_key"})


class Door:
    """A process that can be killed, paused and started again.

    Args:
        name: `worker0`, `serve-acme` …
        environ: Of the process, its key included.
        log: Where its standard error goes.
    """

    def __init__(self, name: str, environ: dict[str, str], log: Path) -> None:
        self.name = name
        self.environ = environ
        key = environ["OPENAI_API_KEY"]
        self.account = hashlib.sha256(key.encode()).hexdigest()[:12]  # as the simulator has it
        self._log = log
        self.process: subprocess.Popen[str] | None = None
        self.deaths: list[float] = []
        self.running = 0
        self.ready = asyncio.Event()

    def _spawn(self, command: list[str]) -> subprocess.Popen[str]:
        with self._log.open("a") as log:
            return subprocess.Popen(
                command,
                env={**os.environ, **self.environ},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    def kill(self) -> None:
        """`kill -9`."""
        assert self.process is not None
        self.ready.clear()
        self.deaths.append(time.time())
        self.process.kill()
        self.process.wait(30)

    def signal(self, number: int) -> None:
        """Another signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def died_since(self, at: float) -> bool:
        """Whether it was killed after that time."""
        return any(death >= at - 0.05 for death in self.deaths)

    async def start(self) -> None:
        """Starts it and waits until it can be asked."""
        raise NotImplementedError

    async def ask(self, conversation: Conversation, question: Question) -> dict[str, Any]:
        """One turn: fields of `Heard`."""
        raise NotImplementedError

    async def end(self) -> list[str]:
        """Ends it in peace; what was wrong with that."""
        raise NotImplementedError

    def _over(self, wanted: int = 0) -> list[str]:
        assert self.process is not None
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
            return [f"{self.name} doesn't end"]
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                pipe and pipe.close()
        return [] if code == wanted else [f"{self.name} ended with exit code {code}"]


class WorkerDoor(Door):
    """A process with an `Agent`."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._ids = itertools.count()
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._lines: list[str] = []

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(START_S):
            while not self.ready.is_set():  # one that meets a store that is down ends: once more
                process = self.process = self._spawn([sys.executable, str(WORKER)])
                threading.Thread(target=self._read, args=(process, loop), daemon=True).start()
                while process.poll() is None and not self.ready.is_set():  # noqa: ASYNC110 - a process has no event
                    await asyncio.sleep(0.05)

    def _read(self, process: subprocess.Popen[str], loop: asyncio.AbstractEventLoop) -> None:
        assert process.stdout is not None
        with contextlib.suppress(RuntimeError, ValueError):  # the audit has ended
            for line in process.stdout:
                loop.call_soon_threadsafe(self._got, json.loads(line))
            loop.call_soon_threadsafe(self._gone, process)

    def _got(self, line: dict[str, Any]) -> None:
        if "ready" in line:
            self.ready.set()
        elif "id" in line:
            future = self._waiting.pop(line.pop("id"), None)
            if future is not None and not future.done():  # done: it was given up as hung
                future.set_result(line)

    def _gone(self, process: subprocess.Popen[str]) -> None:
        if process is self.process:
            waiting, self._waiting = self._waiting, {}
            for future in waiting.values():
                if not future.done():
                    future.set_result({"ended": "died"})

    async def ask(self, conversation: Conversation, question: Question) -> dict[str, Any]:
        assert self.process is not None
        assert self.process.stdin is not None
        number = next(self._ids)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        asked = {"id": number, "text": question.text, "way": question.way}
        asked |= {"thread": conversation.thread, "tenant": conversation.tenant}
        asked |= {"user": conversation.user, "budget_tokens": conversation.budget}
        try:
            self.process.stdin.write(json.dumps(asked) + "\n")
            self.process.stdin.flush()
        except (OSError, ValueError):
            self._waiting.pop(number, None)
            return {"ended": "died"}
        return await future

    async def end(self) -> list[str]:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.close()
        return await asyncio.to_thread(self._over)


class ServeDoor(Door):
    """`allotrope serve` of one tenant."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._url = f"http://127.0.0.1:{self.environ['ALLOTROPE_SERVE__PORT']}"
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=0)
        token = {"Authorization": f"Bearer {self.environ['ALLOTROPE_SERVE__TOKEN']}"}
        self._client = httpx.AsyncClient(
            base_url=self._url, timeout=None, limits=limits, headers=token
        )

    async def start(self) -> None:
        process = self._spawn(
            [sys.executable, "-c", "from allotrope.cli import main; main()", "serve"]
        )
        self.process = process
        threading.Thread(target=lambda: list(process.stdout or ()), daemon=True).start()
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            with contextlib.suppress(httpx.HTTPError):
                if (await self._client.get("/healthz", timeout=5)).status_code == 200:
                    self.ready.set()
                    return
            if process.poll() is not None:
                break
            await asyncio.sleep(0.1)
        raise RuntimeError(f"{self.name} doesn't start: {self._log.read_text()[-2000:]}")

    async def ask(self, conversation: Conversation, question: Question) -> dict[str, Any]:
        began = time.time()
        try:
            if question.way == "page":
                return await self._page(conversation, question)
            return await self._completion(conversation, question)
        except httpx.HTTPError as exc:
            if self.died_since(began) or not self.ready.is_set():
                return {"ended": "died"}
            return {"ended": "error", "error": f"{type(exc).__name__}: {exc}", "clear": False}

    async def _completion(self, conversation: Conversation, question: Question) -> dict[str, Any]:
        body = {
            "model": "assistant",
            "user": conversation.user,
            "messages": [{"role": "user", "content": question.text}],
            "stream": question.way != "plain",
        }
        headers = {"X-Allotrope-Thread": conversation.thread}
        request = self._client.build_request(
            "POST", "/v1/chat/completions", json=body, headers=headers
        )
        answer = await self._client.send(request, stream=True)
        try:
            if answer.status_code != 200:
                return _error((json.loads(await answer.aread())).get("error") or {})
            if question.way == "plain":
                found = json.loads(await answer.aread())
                text = found["choices"][0]["message"]["content"]
                return {
                    "ended": "answered", "answer": text, "cached": found["allotrope"]["cached"],
                }  # fmt: skip
            return await self._read(answer, leave=question.way == "hang_up")
        finally:
            await answer.aclose()

    async def _read(self, answer: httpx.Response, *, leave: bool) -> dict[str, Any]:
        said, words, over = "", 0, False
        async for line in answer.aiter_lines():
            if not line.startswith("data: "):
                continue
            if line == "data: [DONE]":
                break
            chunk = json.loads(line.removeprefix("data: "))
            if "error" in chunk:
                return _error(chunk["error"])
            for choice in chunk.get("choices", ()):
                if part := choice["delta"].get("content"):
                    said, words = said + part, words + 1
                over = over or choice.get("finish_reason") is not None
            if leave and words >= WORDS_BEFORE_LEAVING:
                return {"ended": "left"}
        if not over:
            return {"ended": "error", "error": "the stream broke off", "clear": False}
        return {"ended": "answered", "answer": said}

    async def _page(self, conversation: Conversation, question: Question) -> dict[str, Any]:
        body = {"agent": "assistant", "text": question.text, "thread_id": conversation.thread}
        async with self._client.stream("POST", "/api/turns", json=body) as answer:
            if answer.status_code != 200:
                return _error((json.loads(await answer.aread())).get("error") or {})
            async for line in answer.aiter_lines():
                event = json.loads(line)
                if event["type"] == "reply":
                    return {
                        "ended": "answered", "answer": event["answer"], "cached": event["cached"],
                    }  # fmt: skip
                if event["type"] == "error":
                    return _error(event)
        return {"ended": "error", "error": "the page's stream broke off", "clear": False}

    async def end(self) -> list[str]:
        await self._client.aclose()
        self.signal(signal.SIGTERM)
        return await asyncio.to_thread(self._over)


def _error(found: dict[str, Any]) -> dict[str, Any]:
    code, message = found.get("code"), str(found.get("message", ""))
    return {
        "ended": "error",
        "error": f"{code}: {message}"[:400],
        "clear": bool(message) and code not in UNFORESEEN and code is not None,
        "busy": code == "thread_busy",
        "again": code in ("server_starting", "server_stopping", "overloaded"),
        "kept": code == "no_model_available" and bool(re.search(r"is kept", message)),
    }


def heard(
    conversation: Conversation, question: Question, found: dict[str, Any], began: float
) -> Heard:
    """What a client got, as a fact."""
    names = ("ended", "answer", "error", "clear", "kept", "cached")
    return Heard(
        token=question.token,
        thread=conversation.thread,
        tenant=conversation.tenant,
        door=question.door,
        way=question.way,
        at=began,
        took_s=time.time() - began,
        **{name: found[name] for name in names if name in found},
    )
