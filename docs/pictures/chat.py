"""Takes the pictures of the chat page: python docs/pictures/chat.py

The page, the server and the agents are the real ones; the words of the models are played by the
provider simulator.
"""

import asyncio
import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
from playwright.async_api import async_playwright

from allotrope import load_settings
from allotrope.settings import Settings
from allotrope.testing import ProviderSimulator, Reply, SimRequest
from allotrope.web.apps import serve_app
from allotrope.web.running import address, bind

HERE = Path(__file__).resolve().parent
SALES = "region,quarter,amount\nNorth,Q1,900\nNorth,Q2,600.5\nSouth,Q1,700\nSouth,Q2,410\n"
SQL = "```sql\nSELECT region, sum(amount) AS total FROM sales GROUP BY 1 ORDER BY 2 DESC\n```"
STEPS = {
    "You plan": "- total amount per region",
    "You write SQL": SQL,
    "You are a data": "**North** sold most, with 1,500.5; South sold 1,110.",
    "You choose": '{"kind": "bar", "x": "region", "y": "total"}',
}
ANSWERS = {
    "How do I keep the bill small?": """Three things, in the order of what they save:

1. **Cache.** The same question again costs nothing; `allotrope cache stats` shows how often.
2. **Profiles.** Simple turns run well on `economical`.
3. **Budgets.** When one is used up, a local model answers instead.

```sh
allotrope report monthly
```""",
    "And when OpenAI is down?": "Then I answer from the next model that is up, and say so below.",
    "Tell me a long story": "Once there was a carbon atom that could be anything it liked. " * 12,
}


def answer(request: SimRequest) -> Reply:
    """What the model says: by the step's prompt, else by the question."""
    system = request.asked.turns[0].text
    said = next((text for mark, text in STEPS.items() if system.startswith(mark)), None)
    return Reply(said or ANSWERS.get(request.text, "Yes."), token_delay_s=0.01)


@contextlib.contextmanager
def served(settings: Settings) -> Iterator[str]:
    """The server, in a thread; its address."""
    listening = bind("127.0.0.1", 0)
    config = uvicorn.Config(
        serve_app(settings, host="127.0.0.1"),
        log_level="warning",
        timeout_graceful_shutdown=2,
        loop="asyncio",
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield address(listening)
    finally:
        server.should_exit = True
        thread.join()


async def ask(page: Any, text: str, answers: int) -> None:
    """Asks, and waits until so many answers are there."""
    await page.get_by_label("Message").fill(text)
    await page.keyboard.press("Enter")
    await page.locator(".from").nth(answers - 1).wait_for()


async def pictures(base: str, simulator: ProviderSimulator, folder: Path) -> None:
    """Uses the page, and looks at it in light and dark, and on a phone."""
    (folder / "sales.csv").write_text(SALES)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = await browser.new_page(viewport={"width": 1180, "height": 760})
        await page.goto(base)
        await page.get_by_label("Agent").select_option("analyst")
        await ask(page, "Which region sold most? sales.csv", 1)
        await page.screenshot(path=HERE / "chat-analyst.png")
        await page.get_by_role("button", name="New thread").click()
        await page.get_by_label("Agent").select_option("assistant")
        await ask(page, "How do I keep the bill small?", 1)
        simulator.down("openai")
        await ask(page, "And when OpenAI is down?", 2)
        simulator.up("openai")
        await page.wait_for_timeout(500)
        await page.screenshot(path=HERE / "chat-light.png")
        phone = await browser.new_page(viewport={"width": 390, "height": 760}, color_scheme="dark")
        await phone.goto(page.url)
        await phone.locator(".from").nth(1).wait_for()
        await phone.screenshot(path=HERE / "chat-phone-dark.png")
        await page.emulate_media(color_scheme="dark")
        await page.get_by_label("Message").fill("Tell me a long story")
        await page.keyboard.press("Enter")
        await page.get_by_text("anything it liked. Once there").last.wait_for()
        await page.screenshot(path=HERE / "chat-dark.png")
        await browser.close()


def main() -> None:
    """Writes chat-*.png beside this file."""
    with ProviderSimulator() as simulator, tempfile.TemporaryDirectory() as folder:
        simulator.answer_with(answer)
        environ = {
            "OPENAI_API_KEY": "sk-simulated",
            "OPENAI_BASE_URL": simulator.openai_url,
            "OLLAMA_HOST": simulator.ollama_url,
            "ALLOTROPE_DATA_DIR": folder,
            "ALLOTROPE_EMBEDDED__ENABLED": "false",
            "ALLOTROPE_AGENTS__OUTPUT_DIR": f"{folder}/out",
        }
        with contextlib.chdir(folder):
            settings = load_settings(environ=environ, env_file=None)
            with served(settings) as base:
                asyncio.run(pictures(base, simulator, Path(folder)))


if __name__ == "__main__":
    main()
