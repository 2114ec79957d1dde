"""Who may call and how often, as the official `openai` client meets it."""

import httpx
import openai
import pytest

from allotrope.testing import ProviderSimulator, Reply

TOKEN = "a-token-of-enough-characters"


def ask(base: str, key: str, **headers: str) -> str | None:
    with openai.OpenAI(base_url=f"{base}/v1", api_key=key, max_retries=0) as client:
        answer = client.chat.completions.create(
            model="assistant",
            messages=[{"role": "user", "content": "May I?"}],
            extra_headers=headers,
        )
    return answer.choices[0].message.content


def test_refusals_have_openais_shape_and_nothing_is_asked(
    serve, simulator: ProviderSimulator
) -> None:
    base = serve(token=TOKEN, requests_per_minute=1)
    with pytest.raises(openai.AuthenticationError) as unknown:
        ask(base, "a-token-that-is-not-the-one")
    assert unknown.value.code == "invalid_api_key"
    assert unknown.value.response.headers["www-authenticate"] == "Bearer"
    assert TOKEN not in unknown.value.message
    with pytest.raises(openai.PermissionDeniedError) as foreign:
        ask(base, TOKEN, Origin="https://evil.example")
    assert foreign.value.type == "invalid_request_error"
    assert not simulator.chats()

    assert ask(base, TOKEN) == "Echo: May I?"
    with pytest.raises(openai.RateLimitError) as often:
        ask(base, TOKEN)
    assert (often.value.code, often.value.type) == ("rate_limit_exceeded", "rate_limit_error")
    wait_s = int(often.value.response.headers["retry-after"])
    assert 0 < wait_s <= 60
    assert "x-should-retry" not in often.value.response.headers
    assert len(simulator.chats()) == 1
    for refused in (unknown.value, foreign.value, often.value):
        assert set(refused.response.json()["error"]) == {"message", "type", "param", "code"}
        assert refused.response.headers["content-security-policy"]
    bearer = {"authorization": f"Bearer {TOKEN}"}  # reading is not what the limit is about
    assert httpx.get(f"{base}/v1/models", headers=bearer).status_code == 200


def test_wrong_tokens_at_the_login_are_limited(serve, simulator: ProviderSimulator) -> None:
    with httpx.Client(base_url=serve(token=TOKEN)) as client:
        tries = [client.post("/login", data={"token": f"guess {n}"}) for n in range(11)]
    assert [answer.status_code for answer in tries] == [403] * 10 + [429]


def test_a_full_server_says_so_and_when_to_come_back(serve, simulator: ProviderSimulator) -> None:
    base = serve(running_turns=1)
    simulator.script([Reply(text="word " * 30, token_delay_s=0.1)])
    body = {"model": "assistant", "messages": [{"role": "user", "content": "Slow"}]}
    with (
        httpx.Client(base_url=base, timeout=60) as client,
        client.stream("POST", "/v1/chat/completions", json={**body, "stream": True}) as first,
    ):
        assert first.status_code == 200
        second = client.post("/v1/chat/completions", json=body)
        assert second.status_code == 503
        assert second.json()["error"]["code"] == "overloaded"
        assert second.headers["retry-after"] == "1"
        assert "x-should-retry" not in second.headers
        assert client.post("/api/turns", json={"text": "Me?"}).status_code == 503
        first.read()
        assert client.post("/v1/chat/completions", json=body).status_code == 200
