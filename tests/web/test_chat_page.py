"""The chat page in a real browser: a talk, stop, restarts, failures, keyboard, phone, login."""

from typing import Any

import httpx
import pytest

from allotrope.testing import Fault, ProviderSimulator, Reply

pytestmark = pytest.mark.browser

TOKEN = "a-token-of-enough-characters"
NASTY = """# Done

1. **first** with `code`
   - deeper
2. second

| a | b |
|---|---|
| 1 | 2 |

```
<b>raw</b>
```

<img src=x onerror="alert(1)"> ![x](http://127.0.0.2:9/steal.png)
[bad](javascript:alert(1)) and [good](https://example.org/a)"""


async def say(page: Any, text: str) -> None:
    await page.get_by_label("Message").fill(text)
    await page.keyboard.press("Enter")


async def answered(page: Any, count: int) -> Any:
    """The last answer, when so many are there and whole."""
    answer = page.get_by_role("article", name="Answer").nth(count - 1)
    await answer.locator(".from").wait_for()
    return answer


async def test_a_talk_is_shown_formatted_and_survives_a_reload(
    served: str, open_page: Any, accessible: Any, simulator: ProviderSimulator
) -> None:
    simulator.script(["The capital is Paris.", NASTY])
    page = await open_page()
    await page.goto(served)
    await say(page, "Capital of France?")
    first = await answered(page, 1)
    assert "The capital is Paris." in await first.inner_text()
    assert "o3-2025-04-16 · openai" in await first.inner_text()
    assert "tokens in" in await first.inner_text()
    await say(page, "And a list?")
    second = await answered(page, 2)
    for selector, text in (
        ("h2", "Done"),
        ("ol > li > strong", "first"),
        ("ol ul li", "deeper"),
        ("td >> nth=1", "2"),
        ("pre", "<b>raw</b>"),
        ("a >> nth=0", "x"),
        ("a >> nth=1", "good"),
    ):
        assert await second.locator(selector).inner_text() == text
    assert await second.locator("a").last.get_attribute("href") == "https://example.org/a"
    assert await second.locator("img, b, script, [onerror]").count() == 0
    assert "<img src=x" in await second.inner_text()
    meter = page.locator("#meter-text")
    assert (await meter.inner_text()).startswith("Context: ")
    assert await page.locator("#meter-bar rect").count() >= 1
    await page.locator("#threads small", has_text="4 messages").wait_for()
    assert await accessible(page) == []
    spoken = page.locator("#said")
    assert "first with code" in await spoken.inner_text()
    before = await second.locator(".text").inner_html()
    shown = await meter.inner_text()

    await page.reload()
    again = await answered(page, 2)
    assert await again.locator(".text").inner_html() == before
    assert await meter.inner_text() == shown
    thread = page.get_by_role("navigation", name="Threads").get_by_role("button")
    assert (await thread.get_attribute("title")) == "Capital of France?"
    assert await thread.get_attribute("aria-current") == "true"
    await page.emulate_media(color_scheme="dark")
    assert await accessible(page) == []
    await page.get_by_role("button", name="New thread").click()
    assert await page.get_by_text("Ask something.").is_visible()
    await thread.click()
    await answered(page, 2)


async def test_stop_keeps_what_was_said_and_the_thread_goes_on(
    served: str, open_page: Any, simulator: ProviderSimulator
) -> None:
    simulator.script([Reply(text="word " * 200, token_delay_s=0.05), "Fine."])
    page = await open_page()
    await page.goto(served)
    await say(page, "Tell me much")
    answer = page.get_by_role("article", name="Answer")
    await answer.get_by_text("word word").wait_for()
    growing = await answer.inner_text()
    assert await answer.get_attribute("aria-busy") == "true"
    assert await page.get_by_role("button", name="Send").count() == 0
    await page.get_by_text("word " * 6).wait_for()
    await page.get_by_role("button", name="Stop").click()
    await answer.get_by_text("stopped").wait_for()
    said = await answer.locator(".text").inner_text()
    assert len(growing) < len(said) < 900
    assert await page.get_by_role("button", name="Send").is_visible()
    await say(page, "Enough?")
    await answered(page, 2)
    await page.reload()
    await answered(page, 2)
    assert await answer.locator(".text").all_inner_texts() == [said, "Fine."]
    assert "stopped" in await answer.first.inner_text()


async def test_a_restart_clears_what_was_said_and_the_takeover_is_named(
    served: str, open_page: Any, simulator: ProviderSimulator
) -> None:
    simulator.script([Fault(kind="cut", after_tokens=3)] * 5, provider="openai")
    simulator.script([Reply(text="The whole answer.", token_delay_s=0.5)], provider="ollama")
    page = await open_page()
    await page.goto(served)
    await say(page, "Will it hold?")
    await page.locator("#notice").get_by_text("begins again").wait_for()
    answer = await answered(page, 1)
    assert await answer.locator(".text").inner_text() == "The whole answer."
    assert "llama3.1 · ollama" in await answer.inner_text()
    assert await answer.locator(".degraded").is_visible()
    assert await page.locator("#notice").is_hidden()


async def test_an_answer_that_was_cut_off_says_so_now_and_later(
    served: str, open_page: Any, simulator: ProviderSimulator
) -> None:
    simulator.script([Reply(text="It was a dark and", finish_reason="length")])
    page = await open_page()
    await page.goto(served)
    await say(page, "A long story")
    assert "cut off at the model's limit" in await (await answered(page, 1)).inner_text()
    await page.reload()
    assert "cut off at the model's limit" in await (await answered(page, 1)).inner_text()


async def test_nobody_there_is_a_sentence_and_a_button_that_asks_again(
    served: str, open_page: Any, accessible: Any, simulator: ProviderSimulator
) -> None:
    page = await open_page()
    await page.goto(served)
    simulator.down("openai")
    simulator.down("ollama")
    await say(page, "Anybody?")
    await page.locator(".failed", has_text="No model can answer now").wait_for()
    again = page.get_by_role("button", name="Answer it now")
    assert await accessible(page) == []
    simulator.up("openai")
    simulator.up("ollama")
    await page.reload()
    await again.click()
    await answered(page, 1)
    assert await page.get_by_role("article", name="You").all_inner_texts() == ["Anybody?"]
    assert await page.locator("#notice").is_hidden()


async def test_a_connection_that_breaks_says_so_and_the_question_can_be_asked_again(
    serve: Any, open_page: Any, simulator: ProviderSimulator
) -> None:
    base = serve(heartbeat_s=0.2)
    page = await open_page()
    await page.goto(base)
    await say(page, "Are you there?")
    await answered(page, 1)
    failed = page.locator(".failed", has_text="The connection broke off.")
    await page.route("**/api/turns", lambda route: route.abort())
    await say(page, "And now?")
    await failed.wait_for()
    assert await page.get_by_label("Message").input_value() == "And now?", "it never arrived"
    assert await page.get_by_role("button", name="Send").is_visible()
    await page.unroute("**/api/turns")
    body = '{"type": "thread", "thread_id": "web-assistant-cut"}\n{"type": "beat"}\n'
    await page.route("**/api/turns", lambda route: route.fulfill(body=body))
    await say(page, "And now?")  # a stream that ends before the answer
    await failed.nth(1).wait_for()
    assert await page.get_by_role("button", name="Answer it now").is_visible()
    assert await page.get_by_label("Message").input_value() == ""
    page.complaints.clear()  # Chromium tells of the connection


async def test_by_keyboard_alone(served: str, open_page: Any, simulator: ProviderSimulator) -> None:
    simulator.script([Reply(text="word " * 200, token_delay_s=0.05)])
    page = await open_page()
    await page.goto(served)
    keys = page.keyboard
    await keys.press("Tab")  # from the field, which has the focus at first
    assert await focused(page) == "Send"
    await keys.press("Shift+Tab")
    await keys.type("two")
    await keys.press("Shift+Enter")
    await keys.type("lines")
    await keys.press("Enter")
    asked = page.get_by_role("article", name="You")
    assert await asked.inner_text() == "two\nlines"
    await page.get_by_text("word word").wait_for()
    assert await page.locator("#said").inner_text() == "Answering."
    await keys.press("Escape")
    await page.locator(".tag", has_text="stopped").wait_for()
    assert await page.evaluate("() => document.activeElement.id") == "text"
    await page.reload()
    await keys.press("Tab")
    await keys.press("Tab")
    await page.evaluate("() => document.activeElement.blur()")
    await keys.press("Tab")
    assert await focused(page) == "Skip to content"


async def focused(page: Any) -> str:
    return str(await page.evaluate("() => document.activeElement.innerText.trim()"))


async def test_on_a_phone_the_threads_are_behind_a_button(
    served: str, open_page: Any, accessible: Any, simulator: ProviderSimulator
) -> None:
    simulator.script([NASTY.replace("second", "long" * 100)])
    page = await open_page(viewport={"width": 360, "height": 740}, has_touch=True)
    await page.goto(served)
    await say(page, "Hi")
    await answered(page, 1)
    wide = "() => document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not await page.evaluate(wide)
    menu = page.locator("#menu")
    assert await page.get_by_role("button", name="New thread").count() == 0
    await menu.click()
    assert await menu.get_attribute("aria-expanded") == "true"
    assert await focused(page) == "New thread"
    assert await accessible(page) == []
    await page.keyboard.press("Escape")
    assert await focused(page) == "Threads"
    await menu.click()
    await page.get_by_role("navigation", name="Threads").get_by_role("button").click()
    assert await page.get_by_role("button", name="New thread").count() == 0
    assert await accessible(page) == []


async def test_a_turn_goes_on_while_another_thread_is_read(
    served: str, open_page: Any, simulator: ProviderSimulator
) -> None:
    simulator.script(["Short.", Reply(text="word " * 20, token_delay_s=0.1)])
    page = await open_page()
    await page.goto(served)
    await say(page, "First thread")
    await answered(page, 1)
    await page.get_by_role("button", name="New thread").click()
    await say(page, "Second thread")
    await page.get_by_text("word word").wait_for()
    threads = page.get_by_role("navigation", name="Threads").get_by_role("button")
    await threads.filter(has_text="First thread").click()
    assert "Short." in await (await answered(page, 1)).inner_text()
    assert await page.get_by_role("button", name="Send").is_visible()
    other = threads.filter(has_text="Second thread")
    await other.filter(has_not_text="answering").wait_for()
    await other.click()
    whole = await answered(page, 1)
    assert (await whole.locator(".text").inner_text()).split() == ["word"] * 20
    assert await page.locator("#notice").is_hidden()


async def test_an_agent_with_steps_says_what_it_does(
    served: str, open_page: Any, simulator: ProviderSimulator
) -> None:
    simulator.answer_with(lambda request: Reply(text="A red door.", delay_s=0.3))
    page = await open_page()
    await page.goto(served)
    await page.get_by_label("Agent").select_option("creative")
    await say(page, "Three words about a door, at most 5 words")
    await page.locator(".work").get_by_text("Draft …").wait_for()
    answer = await answered(page, 1)
    assert "A red door." in await answer.inner_text()
    await page.get_by_role("navigation", name="Threads").get_by_text("creative").wait_for()


async def test_behind_a_token_the_page_asks_for_it_once(
    serve: Any, open_page: Any, accessible: Any, simulator: ProviderSimulator
) -> None:
    base = serve(token=TOKEN)
    page = await open_page()
    await page.goto(f"{base}/status")
    assert page.url == f"{base}/login?next=/status"
    assert await accessible(page) == []
    await page.get_by_label("Token").fill("not the right one")
    await page.keyboard.press("Enter")
    assert (
        await page.get_by_role("alert").inner_text()
        == "That is no token and no key that is good here."
    )
    page.complaints.clear()  # Chromium tells of the 403
    assert await accessible(page) == []
    await page.get_by_label("Token").fill(TOKEN)
    await page.get_by_role("button", name="Log in").click()
    await page.get_by_role("heading", name="Status").wait_for()
    await page.goto(base)
    await say(page, "May I?")
    await answered(page, 1)
    stored = await page.context.cookies()
    assert [(c["httpOnly"], c["sameSite"], TOKEN in c["value"]) for c in stored] == [
        (True, "Strict", False)
    ]
    async with httpx.AsyncClient() as stranger:
        assert (await stranger.get(f"{base}/api/threads")).status_code == 401
