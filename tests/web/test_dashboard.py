"""The dashboard's pages over HTTP: numbers and their rows, filters, empty and broken stores."""

import csv
import html
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx
import pytest

from allotrope.settings import Settings
from allotrope.settings.usage import UsageSettings
from allotrope.usage.ledger.ledger import open_ledger
from allotrope.usage.recorder.rows import CallRow, microseconds

TOKEN = "a-token-of-enough-characters"


def text_of(address: str, status: int = 200) -> str:
    """A page, unescaped."""
    answer = httpx.get(address, timeout=30)
    assert answer.status_code == status, answer.text
    return html.unescape(answer.text)


@pytest.fixture
def page(dashboard: str) -> Callable[..., str]:
    """Gets a page of the seeded ledger."""
    return lambda path, status=200: text_of(dashboard + path, status)


@pytest.fixture
def own(serve_pages: Callable[[Settings], str], simulator_settings: Settings) -> str:
    """The address of a dashboard of this test's own, whose ledger is empty."""
    return serve_pages(simulator_settings)


def tile(text: str, name: str) -> tuple[str, str]:
    """A tile's number and where it leads."""
    found = re.search(rf'id="tile-{name}"><a href="([^"]+)">.*?<strong>([^<]+)</strong>', text)
    assert found, name
    return found[2], found[1]


def test_the_numbers_are_those_of_the_ledger(page, seeded: list[CallRow]) -> None:
    text = page("/dashboard")
    assert tile(text, "calls")[0] == str(len(seeded))
    assert tile(text, "cost")[0] == f"${sum(row.cost or 0 for row in seeded):.2f}"
    assert tile(text, "errors")[0] == str(sum(row.status == "error" for row in seeded))
    answered = [row for row in seeded if row.status == "ok"]
    hits = 100 * sum(row.cached != "" for row in answered) / len(answered)
    assert tile(text, "hits")[0] == f"{hits:.1f} %"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("calls", lambda row: True),
        ("hits", lambda row: row.cached != ""),
        ("failovers", lambda row: row.failovers > 0),
        ("errors", lambda row: row.status == "error"),
        ("ttft", lambda row: row.ttft_ms is not None),
        ("unpriced", lambda row: row.cost is None),
    ],
)
def test_each_number_leads_to_its_rows(page, seeded: list[CallRow], name: str, meant) -> None:
    address = tile(page("/dashboard"), name)[1]
    expected = {row.id for row in seeded if meant(row)}
    assert f"<strong>{len(expected)}</strong> calls" in page(address)
    sheet = csv.DictReader(io.StringIO(page(address.replace("/rows?", "/rows.csv?"))))
    assert {line["id"] for line in sheet} == expected


def test_the_numbers_in_tables_lead_to_their_rows_too(page, seeded: list[CallRow]) -> None:
    text = page("/dashboard?by=model")
    links = re.findall(r'<td class="number"><a href="(/dashboard/rows[^"]+)">([^<]+)</a>', text)
    assert len(links) > 40
    costs = re.findall(
        r'class="number"><a href="(/dashboard/rows\?from=[^"]+model=o4-mini[^"]*)">\$([^<]+)<', text
    )
    drawn = sum(Decimal(cost) for _, cost in costs)
    assert drawn == pytest.approx(
        sum(row.cost or 0 for row in seeded if row.model == "o4-mini"), abs=Decimal("0.001")
    )
    first = page(costs[0][0])
    assert f"${costs[0][1]}"[:6] in first


def test_pages_of_rows_show_every_call_once_both_ways(page, seeded: list[CallRow]) -> None:
    def runs(text: str) -> list[str]:
        return re.findall(r"run=(run-\d+)", text)

    forward, address, pages = [], "/dashboard/rows", []
    while address:
        text = page(address)
        forward += runs(text)
        pages.append(runs(text))
        older = re.search(r'rel="next" href="([^"]+)"', text)
        newer = re.search(r'rel="prev" href="([^"]+)"', text)
        address = older[1] if older else ""
    assert sorted(forward) == sorted(row.run for row in seeded)
    assert newer
    assert runs(page(newer[1])) == pages[-2]


def test_filters_stand_in_the_address(page, seeded: list[CallRow]) -> None:
    some = [r for r in seeded if r.agent == "analyst" and r.tenant == "globex"]
    text = page("/dashboard?agent=analyst&tenant=globex&period=30d&by=model")
    assert tile(text, "calls")[0] == str(len(some))
    assert '<option value="analyst" selected>' in text
    assert "latencies aren't kept per tenant" in text
    nameless = [r for r in seeded if not r.agent]
    assert nameless
    assert tile(page("/dashboard?agent=(none)"), "calls")[0] == str(len(nameless))
    today = page("/dashboard?period=today")
    expected = [r for r in seeded if r.at >= microseconds(midnight())]
    assert tile(today, "calls")[0] == str(len(expected))


def midnight() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("period=decade", "'decade' is no period"),
        ("by=weather", "'weather' is nothing that charts are split by"),
        ("from=yesterday", "from is 'yesterday', which is no date"),
        ("from=2026-02-01&to=2026-01-01", "would end (2026-01-01T00:00) before it begins"),
        ("from=0001-01-01", "there were no calls then"),
    ],
)
def test_an_address_that_says_nothing_gets_a_sentence(page, query: str, sentence: str) -> None:
    assert sentence in page(f"/dashboard?{query}", status=400)


@pytest.mark.parametrize("query", ["before=7", "only=good", "fill=12", "fill=x", "before=²³.x"])
def test_so_does_a_list_of_calls(page, query: str) -> None:
    for path in ("/dashboard/rows", "/dashboard/rows.csv"):
        if path.endswith("csv") and query.startswith("before"):
            continue
        assert 'role="alert"' in page(f"{path}?{query}", status=400)


def test_names_from_outside_are_only_text(own: str, simulator_settings: Settings) -> None:
    evil = "</script><img src=x onerror=alert(1)>"
    with open_ledger(simulator_settings) as ledger:
        at = microseconds(datetime.now(UTC) - timedelta(seconds=1))
        ledger.write([CallRow(id="x", at=at, agent=evil, thread=evil, model=evil, cost=Decimal(1))])
    for path in ("/dashboard", "/dashboard/rows"):
        raw = httpx.get(own + path, timeout=30).text
        assert "onerror=alert(1)" in raw
        assert "<img src=x" not in raw


def test_an_empty_ledger_says_what_to_run(own: str) -> None:
    text = text_of(f"{own}/dashboard")
    assert "Nothing has been recorded yet" in text
    assert "allotrope ask assistant" in text
    assert "plotly.min.js" not in text
    assert "No single calls are kept" in text_of(f"{own}/dashboard/rows")
    assert "too little data" in text_of(f"{own}/dashboard/advice")


def test_a_period_without_calls_leads_to_a_longer_one(page, seeded: list[CallRow]) -> None:
    text = page("/dashboard?from=2020-01-01&to=2020-02-01")
    assert "No calls in this period" in text


def test_a_store_that_is_gone_gets_a_sentence(serve_pages, simulator_settings: Settings) -> None:
    usage = UsageSettings.model_validate({"ledger_url": "postgresql+psycopg://u:pw@127.0.0.1:1/x"})
    base = serve_pages(simulator_settings.model_copy(update={"usage": usage}))
    answer = httpx.get(f"{base}/dashboard", timeout=30)
    assert answer.status_code == 503
    assert "The usage ledger can" in answer.text
    assert "pw" not in answer.text
    assert "Traceback" not in answer.text


def test_a_corrupted_ledger_is_moved_aside_and_the_page_comes(
    own: str, simulator_settings: Settings
) -> None:
    folder = simulator_settings.data_dir
    assert folder is not None
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "usage.db").write_bytes(b"this was a database once" * 1000)
    assert "Nothing has been recorded yet" in text_of(f"{own}/dashboard")
    aside = [p for p in folder.glob("usage.db*") if b"once" in p.read_bytes()[:100]]
    assert len(aside) == 1
    assert aside[0].name != "usage.db"


def test_budgets_show_what_is_used(serve_pages, simulator_settings: Settings) -> None:
    usage = UsageSettings.model_validate(
        {"budgets": [{"name": "house", "usd": "0.01", "period": "month"}]}
    )
    settings = simulator_settings.model_copy(update={"usage": usage})
    now = microseconds(datetime.now(UTC))  # the seeded calls may all be of last month
    call = CallRow(id="now", at=now, provider="openai", model="o3", status="ok", cost=Decimal(1))
    with open_ledger(settings) as ledger:
        ledger.write([call])
    base = serve_pages(settings)
    text = html.unescape(httpx.get(f"{base}/dashboard", timeout=30).text)
    assert "<strong>house</strong>, this month" in text
    assert "used up" in text


def test_with_a_token_the_pages_ask_for_it(serve_pages, simulator_settings: Settings) -> None:
    section = simulator_settings.serve.model_validate({"token": TOKEN})
    base = serve_pages(simulator_settings.model_copy(update={"serve": section}))
    paths = ("", "/rows", "/rows.csv", "/live", "/advice")
    for path in paths:
        assert httpx.get(f"{base}/dashboard{path}").status_code == 401, path
    bearer = {"authorization": f"Bearer {TOKEN}"}
    for path in paths:
        answer = httpx.get(f"{base}/dashboard{path}", headers=bearer, timeout=30)
        assert answer.status_code == 200, path
        assert httpx.post(f"{base}/dashboard{path}", headers=bearer).status_code == 405, path


def test_the_live_part_says_who_answers(dashboard: str) -> None:
    found = httpx.get(f"{dashboard}/dashboard/live", timeout=30).json()
    assert found["sentence"].startswith("All is well")
    assert "<table>" in found["circuits"]


@dataclass
class Caller:
    """An app as a client of a given address sees it."""

    app: object
    address: str

    async def get(self, path: str, **headers: str) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, client=(self.address, 50_000))  # type: ignore[arg-type]  # Starlette's is wider
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get(path, headers=headers)


async def test_inside_another_server_only_this_machine_is_answered_without_a_token(
    simulator_settings: Settings,
) -> None:
    from allotrope.web.apps import mounted_app

    app = mounted_app(simulator_settings)
    assert (await Caller(app, "127.0.0.1").get("/dashboard/live")).status_code == 200
    assert (await Caller(app, "172.17.0.1").get("/dashboard/live")).status_code == 403
    assert (await Caller(app, "172.17.0.1").get("/threads")).status_code == 404
    section = simulator_settings.serve.model_validate({"token": TOKEN})
    app = mounted_app(simulator_settings.model_copy(update={"serve": section}))
    bearer = {"authorization": f"Bearer {TOKEN}"}
    assert (await Caller(app, "172.17.0.1").get("/allotrope/metrics", **bearer)).status_code == 200
    assert (await Caller(app, "172.17.0.1").get("/allotrope/metrics")).status_code == 401


def test_the_app_for_the_agent_server_is_made_when_asked_for() -> None:
    from starlette.applications import Starlette

    from allotrope.web import mounted

    assert "app" not in vars(mounted)
    assert isinstance(mounted.app, Starlette)
    del mounted.app


def test_alone_the_first_page_is_the_dashboard(dashboard: str) -> None:
    assert httpx.get(dashboard).headers["location"] == "/dashboard"


def test_serve_has_the_same_pages_beside_its_chat(served: str) -> None:
    assert "<h1>Usage</h1>" in text_of(f"{served}/dashboard")
    assert 'id="form"' in text_of(f"{served}/")
