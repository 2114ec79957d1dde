"""Pages in a real browser: what any of them must hold to."""

from typing import Any

import pytest

from allotrope.testing import ProviderSimulator

pytestmark = pytest.mark.browser


async def test_the_status_page_in_a_browser(
    served: str, open_page: Any, accessible: Any, simulator: ProviderSimulator
) -> None:
    page = await open_page()
    await page.goto(f"{served}/status")
    assert await page.locator("h1").inner_text() == "Status"
    assert await accessible(page) == []


@pytest.mark.parametrize(
    ("where", "code", "complaint"),
    [
        ("/status", "document.body.setAttribute('style', 'color: red')", "Content Security Policy"),
        ("/status", "fetch('http://127.0.0.2:9/').catch(() => 0)", "Content Security Policy"),
        (None, "fetch('http://127.0.0.2:9/').catch(() => 0)", "outside: http://127.0.0.2:9/"),
        ("/status", "setTimeout(() => { throw new Error('a mistake') })", "a mistake"),
    ],
)
async def test_the_watch_over_tabs_sees_what_is_wrong(
    served: str, open_page: Any, where: str | None, code: str, complaint: str
) -> None:
    page = await open_page()
    if where is not None:
        await page.goto(served + where)
    await page.evaluate(f"() => {{ {code} }}")
    await page.wait_for_timeout(100)
    assert any(complaint in said for said in page.complaints), page.complaints
    page.complaints.clear()
