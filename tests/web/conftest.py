"""The HTTP side in tests: the app in a uvicorn thread, talking to the simulator; a browser."""

import contextlib
import importlib.resources
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest
import uvicorn

from allotrope.settings import Settings, load_settings
from allotrope.usage.ledger.ledger import open_ledger
from allotrope.usage.recorder.rows import CallRow, microseconds
from allotrope.web.apps import dashboard_app, serve_app
from allotrope.web.running import address, bind

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

Serve = Callable[..., str]
OpenPage = Callable[..., Awaitable["Page"]]
Accessible = Callable[..., Awaitable[list[str]]]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@contextlib.contextmanager
def running(app: Any) -> Iterator[str]:
    """An app on a free port of loopback."""
    listening = bind("127.0.0.1", 0)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            timeout_graceful_shutdown=2,
            loop="asyncio",
            lifespan="on",
            proxy_headers=False,  # as `allotrope serve` has it
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server didn't start"
        time.sleep(0.01)
    try:
        yield address(listening)
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()


@pytest.fixture
def served(simulator_settings: Settings) -> Iterator[str]:
    """`allotrope serve` on loopback; its address."""
    with running(serve_app(simulator_settings, host="127.0.0.1")) as base:
        yield base


@pytest.fixture
def running_app() -> Callable[[Any], contextlib.AbstractContextManager[str]]:
    """Runs an app of the test's own: `with running_app(app) as base`."""
    return running


@pytest.fixture
def serve(simulator_settings: Settings) -> Iterator[Serve]:
    """Starts `allotrope serve` with settings of the section `serve` changed."""
    with contextlib.ExitStack() as stack:

        def start(make: Any = serve_app, **changes: Any) -> str:
            section = simulator_settings.serve.model_validate(changes)
            settings = simulator_settings.model_copy(update={"serve": section})
            return stack.enter_context(running(make(settings, host="127.0.0.1")))

        yield start


class Server:
    """One `allotrope serve` in a process of its own; options are those of `Popen`."""

    def __init__(self, environ: dict[str, str], folder: Path, **options: Any) -> None:
        self._log = folder / f"{uuid.uuid4().hex}.log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", "from allotrope.cli import main; main()", "serve"],
                env={
                    **os.environ,
                    "ALLOTROPE_SERVE__NO_TOKEN": "true",
                    **environ,
                    "ALLOTROPE_SERVE__PORT": "0",
                },
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
                **options,
            )
        self.url = ""

    def ready(self) -> "Server":
        """Waits until it can answer."""
        assert self.process.stdout is not None
        said = re.search(r"http://[\d.:]+", self.process.stdout.readline())
        assert said, self.log()
        self.url = said[0]
        deadline = time.monotonic() + 90
        while self.health() != "ok":
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.1)
        return self

    def health(self) -> str:
        try:
            return str(httpx.get(f"{self.url}/healthz").json()["status"])
        except httpx.ConnectError:
            return "none"

    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=60)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def log(self) -> str:
        return self._log.read_text()[-3000:]


@pytest.fixture(scope="session")
def start_server() -> type[Server]:
    """Starts `allotrope serve` in a process: `start_server(environ, folder).ready()`."""
    return Server


@pytest.fixture
def serve_pages() -> Iterator[Callable[[Settings], str]]:
    """Starts `allotrope dashboard` with settings; gives its address."""
    with contextlib.ExitStack() as stack:
        yield lambda settings: stack.enter_context(
            running(dashboard_app(settings, host="127.0.0.1"))
        )


@pytest.fixture(scope="module")
def seeded_settings(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a ledger with `seeded`; the tests of a file share it, and only read."""
    return load_settings(
        environ={},
        env_file=None,
        data_dir=tmp_path_factory.mktemp("seeded"),
        redis={"url": redis_url, "prefix": f"t{uuid.uuid4().hex[:12]}:"},
        openai={"api_key": "sk-test", "base_url": "http://127.0.0.1:9/v1"},
        embedded={"enabled": False},
    )


@pytest.fixture(scope="module")
def seeded(seeded_settings: Settings) -> list[CallRow]:
    """130 calls of the last six days in the ledger, with something of everything."""
    rows = calls_of_six_days()
    with open_ledger(seeded_settings) as ledger:
        ledger.write(rows)
    return rows


@pytest.fixture(scope="module")
def dashboard(seeded_settings: Settings, seeded: list[CallRow]) -> Iterator[str]:
    """`allotrope dashboard` of the seeded ledger; its address."""
    with running(dashboard_app(seeded_settings, host="127.0.0.1")) as base:
        yield base


def calls_of_six_days() -> list[CallRow]:
    """A call an hour, backwards from an hour ago."""
    chance = random.Random(20)
    now = datetime.now(UTC)
    rows = []
    for number in range(130):
        cached = ("", "", "", "exact", "semantic")[number % 5]
        status = "error" if number % 26 == 1 else "ok"
        paid = not cached and status == "ok"
        rows.append(
            CallRow(
                id=f"call-{number}",
                at=microseconds(now - timedelta(hours=number + 1)),
                provider="openai",
                model=("o3", "o4-mini")[number % 2],
                agent=("assistant", "analyst", "coder", "")[number % 4],
                tenant=("acme", "globex")[number % 2],
                thread=f"thread-{number % 9}",
                run=f"run-{number}",
                status=status,
                error="ProviderUnavailableError" if status == "error" else "",
                cached=cached if status == "ok" else "",
                failovers=int(number % 13 == 2),
                input_tokens=chance.randrange(100, 4000) if paid else 0,
                output_tokens=chance.randrange(10, 400) if paid else 0,
                cost=None if number == 12 else Decimal(chance.randrange(1, 50)) / 100 * paid,
                saved_cost=None if paid else Decimal("0.01"),
                latency_ms=float(chance.randrange(200, 3000)),
                ttft_ms=float(chance.randrange(100, 200)) if number % 3 == 0 else None,
                context_full_tokens=9000,
                context_tokens=800 * (number % 10),
                context_window=8000,
            )
        )
    return rows


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator["Browser"]:
    """Debian's Chromium, without a window; one for the session."""
    if CHROMIUM is None:
        reason = "no Chromium here (Debian's package `chromium`)"
        if os.environ.get("ALLOTROPE_TEST_NO_SKIP") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        made = await playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield made
        await made.close()


@pytest.fixture
async def open_page(browser: "Browser") -> AsyncIterator[OpenPage]:
    """Opens tabs, each with cookies of its own: `page = await open_page(color_scheme="dark")`.

    Options are those of Playwright's `new_context`. At the end of the test no tab may have
    written errors or warnings to its console (a refusal by the content security policy is one),
    thrown an exception, or asked anything of another machine; `page.complaints.clear()` forgives
    what a test provoked.
    """
    contexts = []
    complaints: list[str] = []

    async def open_one(**options: Any) -> "Page":
        context = await browser.new_context(**options)
        context.set_default_timeout(100_000)
        contexts.append(context)
        page = await context.new_page()

        def said(message: Any) -> None:
            if message.type in ("error", "warning"):
                complaints.append(f"console: {message.text} ({page.url})")

        def asked(request: Any) -> None:
            if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
                complaints.append(f"outside: {request.url}")

        page.on("console", said)
        page.on("pageerror", lambda error: complaints.append(f"exception: {error}"))
        page.on("request", asked)
        page.complaints = complaints  # type: ignore[attr-defined]  # for tests that provoke some
        return page

    yield open_one
    for context in contexts:
        await context.close()
    assert complaints == []


@pytest.fixture(scope="session")
def accessible() -> Accessible:
    """Asks axe-core what bars people from a page: `assert await accessible(page) == []`.

    Names of rules ask only those: `await accessible(page, "color-contrast")`.
    """
    script = (importlib.resources.files("axe_playwright_python") / "axe.min.js").read_text()

    async def violations(page: "Page", *rules: str) -> list[str]:
        if not await page.evaluate("'axe' in window"):
            await page.evaluate(script)
        found = await page.evaluate(
            "rules => axe.run(rules.length ? {runOnly: rules} : {})", list(rules)
        )
        return [
            f"{one['id']}: {one['help']}: {' '.join(map(str, node['target']))}: "
            f"{node.get('failureSummary', '')}"
            for one in found["violations"]
            for node in one["nodes"]
        ]

    return violations
