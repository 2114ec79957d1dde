"""Pages and doors: status, metrics, the chat page, the token, names, other sites."""

import time

import httpx
import pytest

from allotrope.exceptions import SettingsError
from allotrope.settings.serve import ServeSettings
from allotrope.testing import ProviderSimulator
from allotrope.web.access.access import RateLimit, check_exposure

TOKEN = "a-token-of-enough-characters"


def ready(client: httpx.Client) -> None:
    """Waits until the server says that it can answer; before, it says that it is starting."""
    while (answer := client.get("/healthz")).status_code == 503:
        assert (answer.json(), answer.headers["retry-after"]) == ({"status": "starting"}, "1")
        time.sleep(0.05)
    assert answer.json() == {"status": "ok"}


def test_every_page_is_there_with_a_strict_policy(
    served: str, simulator: ProviderSimulator
) -> None:
    with httpx.Client(base_url=served, headers={"accept": "text/html"}) as client:
        ready(client)
        for path in ("/", "/status", "/healthz", "/metrics", "/static/chat.js", "/static/icon.svg"):
            answer = client.get(path)
            assert answer.status_code == 200, path
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
        assert "<script>" not in client.get("/").text
        assert "All is well" in client.get("/status").text


def test_a_browser_that_has_a_file_is_sent_nothing_again(served: str) -> None:
    with httpx.Client(base_url=served) as client:
        first = client.get("/static/chat.js")
        assert first.headers["cache-control"] == "max-age=3600"
        again = client.get("/static/chat.js", headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        for name in ("nothing.js", "", "%2e%2e%2fpages.py", "..%2fpages.py", "%00"):
            assert client.get(f"/static/{name}").status_code in (401, 404), name


def test_metrics_count_what_was_asked(served: str, simulator: ProviderSimulator) -> None:
    with httpx.Client(base_url=served) as client:
        body = {"model": "assistant", "messages": [{"role": "user", "content": "Count me"}]}
        assert client.post("/v1/chat/completions", json=body, timeout=30).status_code == 200
        wanted = 'gen_ai_client_token_usage_sum{gen_ai_agent_name="assistant",gen_ai_provider_name='
        deadline = time.monotonic() + 60
        while wanted not in (text := client.get("/metrics").text):
            assert time.monotonic() < deadline, text
            time.sleep(0.1)
    assert 'gen_ai_token_type="input"' in text
    assert "gen_ai_client_operation_duration_seconds_bucket" in text
    assert "allotrope_ledger_up 1" in text


def test_with_a_token_nothing_is_given_without_it(serve, simulator: ProviderSimulator) -> None:
    with httpx.Client(base_url=serve(token=TOKEN)) as client:
        ready(client)
        for path in ("/v1/models", "/metrics", "/status", "/api/threads", "/"):
            assert client.get(path).status_code == 401, path
        bearer = {"authorization": f"Bearer {TOKEN}"}
        assert client.get("/v1/models", headers=bearer).status_code == 200
        assert client.post("/login", data={"token": "wrong"}).status_code == 403
        assert (
            client.post("/login?next=//evil.example", data={"token": TOKEN}).headers["location"]
            == "/"
        )
        assert client.get("/v1/models").status_code == 200


def test_other_names_and_other_sites_are_refused(served: str) -> None:
    with httpx.Client(base_url=served) as client:
        assert client.get("/v1/models", headers={"host": "evil.example"}).status_code == 421
        foreign = {"origin": "https://evil.example"}
        assert client.post("/api/turns", json={}, headers=foreign).status_code == 403


def test_an_open_address_needs_a_token() -> None:
    with pytest.raises(SettingsError, match="no token"):
        check_exposure(ServeSettings(), "0.0.0.0")
    check_exposure(ServeSettings.model_validate({"token": TOKEN}), "0.0.0.0")
    check_exposure(ServeSettings(), "::1")


def test_the_rate_limit_lets_a_minutes_worth_pass_then_spreads() -> None:
    now = [0.0]
    limit = RateLimit(60, now=lambda: now[0])
    assert [limit.wait_s("a") for _ in range(60)] == [0.0] * 60
    assert limit.wait_s("a") == pytest.approx(1.0)
    assert limit.wait_s("b") == 0.0
    now[0] = 1.0
    assert limit.wait_s("a") == 0.0
