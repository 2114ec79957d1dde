"""The dashboard in a real browser: what is drawn, filters, dark mode, phone, keyboard, live states.

The fixture `open_page` fails a test whose tab complains: errors and warnings on the console (what
the content security policy refuses is one), exceptions, requests to other machines.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from allotrope.models.breaker.opening import circuits_in_settings, circuits_of
from allotrope.settings import Settings
from allotrope.usage.recorder.rows import CallRow, moment

pytestmark = pytest.mark.browser

BARS = """id => [...document.querySelectorAll(`#${id} .bars .trace, #${id} .barlayer .trace`)].map(
  trace => [...trace.querySelectorAll('.point path')].map(bar => {
    const box = bar.getBoundingClientRect();
    return bar.getAttribute('d') === 'M0,0Z' ? [0, 0] : [box.width, box.height];
  }))"""
"""Widths and heights of a chart's bars, in pixels, by series."""


DRAWN = "#cost .barlayer .point"


@pytest.fixture
async def page(dashboard: str, seeded: list[CallRow], open_page: Any) -> Any:
    """A tab with the drawn dashboard."""
    tab = await open_page()
    await tab.goto(f"{dashboard}/dashboard")
    await tab.wait_for_selector(DRAWN, state="attached")
    return tab


def per_day(rows: Sequence[CallRow], value: Any) -> list[dict[str, Any]]:
    """Sums per day of the last seven, by agent."""
    last = max(moment(row.at) for row in rows) + timedelta(hours=1)
    days = [(last - timedelta(days=back)).date() for back in range(6, -1, -1)]
    found: dict[Any, dict[str, Any]] = {day: defaultdict(int) for day in days}
    for row in rows:
        found[moment(row.at).date()][row.agent] += value(row)
    return [found[day] for day in days]


async def test_the_bars_are_as_large_as_the_ledger_says(page: Any, seeded: list[CallRow]) -> None:
    await check_heights(page, seeded, "cost", lambda row: row.cost or Decimal(0))
    await check_heights(page, seeded, "tokens", lambda row: row.input_tokens + row.output_tokens)
    await check_savings(page, seeded)


async def check_heights(page: Any, seeded: list[CallRow], chart: str, value: Any) -> None:
    """Bars per day and agent."""
    drawn = [[height for _, height in bars] for bars in await page.evaluate(BARS, chart)]
    days = per_day(seeded, value)
    costs = per_day(seeded, lambda row: row.cost or Decimal(0))
    names = sorted({r.agent for r in seeded}, key=lambda a: -sum(day[a] for day in costs))
    expected = [[float(day[name]) for day in days] for name in names]
    assert [len(bars) for bars in drawn] == [7] * len(names)
    scale = sum(map(sum, drawn)) / sum(map(sum, expected))
    for name, bars, values in zip(names, drawn, expected, strict=True):
        for height, one in zip(bars, values, strict=True):
            assert height == pytest.approx(one * scale, abs=1.5), (name, one)


async def check_savings(page: Any, seeded: list[CallRow]) -> None:
    """A bar per tier of the cache, across."""
    [bars] = await page.evaluate(BARS, "savings")
    saved = [
        float(sum(row.saved_cost or 0 for row in seeded if row.cached == tier))
        for tier in ("exact", "semantic")
    ]
    widths = [width for width, _ in bars]
    assert widths[0] / widths[1] == pytest.approx(saved[0] / saved[1], rel=0.02)
    assert widths[2:] == [0, 0]


async def test_every_chart_is_drawn_and_has_its_table(page: Any) -> None:
    charts = await page.locator("[data-chart]").evaluate_all(
        "all => all.map(one => [one.dataset.chart, one.querySelectorAll('.point').length, "
        "one.closest('figure').querySelectorAll('tbody tr').length])"
    )
    assert {name for name, _, _ in charts} == {
        *("cost", "tokens", "hit-rate", "savings", "latency", "troubles", "fill")
    }
    for name, points, lines in charts:
        assert points > 0, name
        assert lines > 0, name
    assert await page.locator("[data-chart=latency] .point").count() >= 5


async def test_a_bar_leads_to_its_calls(page: Any, seeded: list[CallRow]) -> None:
    bars = page.locator("#cost .barlayer .trace").first.locator(".point path")
    await bars.nth(3).scroll_into_view_if_needed()
    box = await bars.nth(3).bounding_box()
    await page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    await page.wait_for_selector("#cost .hovertext")
    await page.mouse.down()
    await page.mouse.up()
    await page.wait_for_url("**/dashboard/rows?**")
    start = datetime.fromisoformat(re.search(r"from=(\d{4}-\d\d-\d\d)", page.url)[1]).date()  # type: ignore[index]  # else the test fails
    agent = re.search(r"agent=([^&]+)", page.url)[1]  # type: ignore[index]  # as above
    name = "" if "none" in agent else agent
    meant = [r for r in seeded if moment(r.at).date() == start and r.agent == name]
    assert f"{len(meant)} calls" in await page.locator("#sums").inner_text()
    assert await page.locator("table.calls tbody tr").count() == len(meant)


async def test_filters_by_keyboard_go_into_the_address(page: Any, seeded: list[CallRow]) -> None:
    await page.locator("select[name=agent]").focus()
    await page.keyboard.type("analyst")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await page.keyboard.type("model")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**agent=analyst**")
    assert "by=model" in page.url
    some = [row for row in seeded if row.agent == "analyst"]
    assert await page.locator("#tile-calls strong").inner_text() == str(len(some))
    await page.wait_for_selector(DRAWN, state="attached")
    assert await page.locator("#cost h2").inner_text() == "Cost by model"
    assert await page.locator("#cost .barlayer .trace").count() == len({r.model for r in some})
    await page.go_back()
    assert await page.locator("#tile-calls strong").inner_text() == str(len(seeded))


async def test_the_first_key_skips_to_the_content_and_focus_is_seen(page: Any) -> None:
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.className") == "skip"
    assert (await page.locator(".skip").bounding_box())["x"] >= 0
    await page.keyboard.press("Enter")
    assert page.url.endswith("#main")
    await page.keyboard.press("Tab")
    inside = "document.getElementById('main').contains(document.activeElement)"
    assert await page.evaluate(inside)
    style = "getComputedStyle(document.activeElement)"
    assert await page.evaluate(f"{style}.outlineStyle") == "solid"
    assert await page.evaluate(f"{style}.outlineWidth") == "3px"
    summary = page.locator("#cost summary")
    await summary.focus()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    assert "/dashboard/rows?" in await page.evaluate("document.activeElement.href")


async def test_dark_as_the_system_says_or_the_button(
    dashboard: str, seeded: list[CallRow], open_page: Any
) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('#cost .xtick text')).fill"
    dark = await open_page(color_scheme="dark")
    await dark.goto(f"{dashboard}/dashboard")
    await dark.wait_for_selector("#cost .xtick text")
    by_system = await dark.evaluate(paper), await dark.evaluate(ink)
    light = await open_page(color_scheme="light")
    await light.goto(f"{dashboard}/dashboard")
    await light.wait_for_selector("#cost .xtick text")
    before = await light.evaluate(paper), await light.evaluate(ink)
    assert before[0] != by_system[0]
    assert before[1] != by_system[1]
    button = light.get_by_role("button", name="Dark mode")
    assert await button.get_attribute("aria-pressed") == "false"
    await button.click()
    for _ in range(50):  # wait_for_function evaluates texts, which the page's policy forbids
        if await light.evaluate(ink) == by_system[1]:
            break
        await light.wait_for_timeout(100)
    assert (await light.evaluate(paper), await light.evaluate(ink)) == by_system
    assert await button.get_attribute("aria-pressed") == "true"
    await light.goto(f"{dashboard}/status")
    assert await light.evaluate(paper) == by_system[0], "the choice is kept"


@pytest.mark.parametrize("path", ["", "/rows", "/models", "/advice"])
async def test_a_phone_never_scrolls_sideways(
    dashboard: str, seeded: list[CallRow], open_page: Any, path: str
) -> None:
    page = await open_page(viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
    await page.goto(f"{dashboard}/dashboard{path}")
    if not path:
        await page.wait_for_selector(DRAWN, state="attached")
        await page.wait_for_selector("#recommendations")
    widths = await page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert widths[0] <= 360
    assert widths[1] == 360


@pytest.mark.parametrize("path", ["", "/rows", "/models", "/advice", "?period=decade"])
async def test_nothing_bars_people(
    dashboard: str, seeded: list[CallRow], open_page: Any, accessible: Any, path: str
) -> None:
    page = await open_page(color_scheme="light")
    await page.goto(f"{dashboard}/dashboard{path}")
    if not path:
        await page.wait_for_selector(DRAWN, state="attached")
        await page.wait_for_selector("#recommendations")
        await page.locator("#cost summary").click()
    if path.startswith("?"):
        page.complaints.clear()  # the console notes the status 400
    assert await accessible(page) == []
    await page.emulate_media(color_scheme="dark")
    assert await accessible(page, "color-contrast") == []


async def test_what_is_live_changes_by_itself(
    serve_pages: Any, simulator_settings: Settings, open_page: Any
) -> None:
    page = await open_page()
    await page.goto(f"{serve_pages(simulator_settings)}/dashboard")
    assert (await page.locator("#sentence").inner_text()).startswith("All is well")
    announced = page.locator("#announced")
    assert await announced.get_attribute("role") == "status"
    assert await announced.inner_text() == ""
    circuits = circuits_of(simulator_settings)
    circuits.isolate(circuits_in_settings(simulator_settings)["openai"])
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await page.wait_for_selector("#circuits .state.isolated")
    assert await page.locator("#sentence").get_attribute("class") == "notice"
    assert "switched off by an operator" in await page.locator("#sentence").inner_text()
    assert "switched off by an operator" in await announced.inner_text()


async def test_an_empty_ledger_is_friendly(
    serve_pages: Any, simulator_settings: Settings, open_page: Any, accessible: Any
) -> None:
    page = await open_page()
    await page.goto(f"{serve_pages(simulator_settings)}/dashboard")
    assert await page.locator("section.empty pre").count() == 1
    await page.wait_for_selector("#recommendations")
    assert await accessible(page) == []


async def test_with_a_token_the_login_leads_back(
    serve_pages: Any, simulator_settings: Settings, open_page: Any, accessible: Any
) -> None:
    token = "a-token-of-enough-characters"
    section = simulator_settings.serve.model_validate({"token": token})
    base = serve_pages(simulator_settings.model_copy(update={"serve": section}))
    page = await open_page()
    await page.goto(f"{base}/dashboard?period=30d")
    assert "/login" in page.url
    assert await accessible(page) == []
    await page.keyboard.type(token)
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{base}/dashboard?period=30d")
    assert await page.locator("h1").inner_text() == "Usage"
