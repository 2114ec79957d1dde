"""Prompt caching by the providers' rules: what is written, what is read, who shares it."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from langchain_openai import ChatOpenAI

from allotrope.testing import ProviderSimulator, Reply

MARK = {"prompt_cache_breakpoint": {"mode": "explicit"}}
SYSTEM = "s" * 8000  # 2,000 tokens by the rule of four
TOKENS = 2000
WRAP = 4  # tokens around each message
Use = tuple[int, int | None]


class Client:
    """Asks by either API and says what was read from the cache and written to it."""

    def __init__(self, sim: ProviderSimulator, api: str) -> None:
        self.sim, self.api, self.key = sim, api, "sk-x"

    def part(self, text: str, *, marked: bool = False) -> dict[str, Any]:
        kind = "text" if self.api == "chat" else "input_text"
        return {"type": kind, "text": text, **(MARK if marked else {})}

    def post(self, messages: list[dict[str, Any]], model: str, **more: Any) -> httpx.Response:
        path, field = ("chat/completions", "messages")
        if self.api == "responses":
            path, field = ("responses", "input")
        body = {"model": model, field: messages, **more}
        headers = {"authorization": f"Bearer {self.key}"}
        url = f"{self.sim.openai_url}/{path}"
        return httpx.post(url, json=body, headers=headers, verify=False)

    def __call__(
        self, *texts: str, mark: bool = False, model: str = "gpt-6.1-sol", **more: Any
    ) -> Use:
        roles = ["system", "user", "assistant"]
        messages = [
            {"role": "system", "content": [self.part(SYSTEM, marked=mark)]},
            *({"role": roles[1 + index % 2], "content": text} for index, text in enumerate(texts)),
        ]
        answer = self.post(messages, model, **more)
        answer.raise_for_status()
        usage = answer.json()["usage"]
        details = usage.get("prompt_tokens_details") or usage["input_tokens_details"]
        assert self.sim.requests[-1].usage["cached"] == details["cached_tokens"]
        return details["cached_tokens"], details.get("cache_write_tokens")


@pytest.fixture
def now() -> list[float]:
    """A clock to be moved by hand."""
    return [0.0]


@pytest.fixture
def caching(now: list[float]) -> Iterator[ProviderSimulator]:
    with ProviderSimulator(prompt_caching=True, clock=lambda: now[0]) as simulator:
        yield simulator


@pytest.fixture(params=["chat", "responses"])
def ask(caching: ProviderSimulator, request: pytest.FixtureRequest) -> Client:
    return Client(caching, request.param)


def end(*texts: str) -> int:
    """Tokens up to the end of the last of these messages after the system's."""
    return TOKENS + WRAP + sum(WRAP + len(text) // 4 for text in texts)


def test_a_growing_conversation_is_read_up_to_the_last_question(ask: Client) -> None:
    one, two, three = "1" * 40, "2" * 40, "3" * 40
    assert ask(one) == (0, end(one))
    assert ask(one, two, three) == (end(one), end(one, two, three) - end(one))
    assert ask(one, two, three) == (end(one, two, three), 0)


def test_only_the_latest_question_is_a_breakpoint(ask: Client) -> None:
    one, two, three = "1" * 40, "2" * 40, "3" * 40
    assert ask(one, two, three) == (0, end(one, two, three))
    assert ask(one) == (0, end(one))  # a prefix of what was written, but nobody wrote up to it


def test_a_changing_end_is_written_again_and_never_read(ask: Client) -> None:
    for text in ("aaaa", "bbbb", "cccc"):
        assert ask(text) == (0, end(text))


def test_a_marked_prefix_is_read_whatever_follows(ask: Client) -> None:
    assert ask("aaaa", mark=True) == (0, end("aaaa"))
    assert ask("bbbb", mark=True) == (TOKENS + WRAP, end("bbbb") - TOKENS - WRAP)
    assert ask("cccc") == (0, end("cccc"))  # unmarked: nobody looks at the end of the prefix
    only = {"prompt_cache_options": {"mode": "explicit"}}
    assert ask("dddd", mark=True, **only) == (TOKENS + WRAP, 0)
    assert ask("dddd", **only) == (0, 0)


def test_each_key_account_model_and_set_of_tools_has_a_cache_of_its_own(ask: Client) -> None:
    first = ask("aaaa")
    for other in (
        {"prompt_cache_key": "agent-1"},
        {"prompt_cache_key": "agent-2"},
        {"model": "gpt-6.2-sol"},
    ):
        assert ask("aaaa", **other) == first, other
    tool = {"type": "function", "function": {"name": "f"}, "name": "f"}
    quiet = {"reasoning_effort": "none"} if ask.api == "chat" else {}
    terra = {"model": "gpt-6.1-terra", **quiet}
    assert ask("aaaa", tools=[tool], **terra) == ask("aaaa", **terra) == first
    ask.key = "sk-other"
    assert ask("aaaa") == first
    ask.key = "sk-x"
    assert ask("aaaa") == (end("aaaa"), 0)
    assert ask("aaaa", prompt_cache_key="agent-2") == (end("aaaa"), 0)


def test_writes_live_half_an_hour_from_their_last_use(ask: Client, now: list[float]) -> None:
    ask("aaaa")
    for at, read in ((1700.0, True), (3400.0, True), (5300.0, False)):
        now[0] = at
        assert ask("aaaa") == ((end("aaaa"), 0) if read else (0, end("aaaa")))


def test_short_prompts_are_never_cached(ask: Client) -> None:
    def short(characters: int) -> Use:
        message = {"role": "user", "content": "x" * characters}
        ask.post([message], "gpt-6.1-sol").raise_for_status()
        usage = ask.sim.requests[-1].usage
        return usage["cached"], usage["cache_write"]

    assert short(4 * (1023 - WRAP)) == short(4 * (1023 - WRAP)) == (0, 0)
    assert short(4 * (1024 - WRAP)) == (0, 1024)
    assert short(4 * (1024 - WRAP)) == (1024, 0)


def test_four_writes_a_request(ask: Client) -> None:
    parts = [ask.part(str(number) * 4096, marked=True) for number in range(6)]
    user = {"role": "user", "content": "x"}

    def written(count: int) -> Use:
        messages = [{"role": "system", "content": parts[:count]}, user]
        ask.post(messages, "gpt-6.1-sol").raise_for_status()
        return ask.sim.requests[-1].usage["cached"], ask.sim.requests[-1].usage["cache_write"]

    assert written(6) == (0, 6 * 1024 + WRAP + WRAP + 1)
    # the last three marks and the question were written; the first three marks weren't
    assert written(3)[0] == 0
    ask.sim.reset()
    written(6)
    assert written(4)[0] == 4 * 1024 + WRAP


def test_older_models_read_any_shared_prefix_and_report_no_writes(
    ask: Client, now: list[float]
) -> None:
    for model in ("gpt-5.5", "gpt-5", "o3", "gpt-4.1"):
        assert ask("aaaa", model=model) == (0, None)
        read, written = ask("bbbb" * 100, model=model)
        assert written is None
        assert read == (TOKENS + WRAP + WRAP) // 128 * 128
    now[0] = 601.0
    assert ask("aaaa", model="o3") == (0, None)


@pytest.mark.parametrize("model", ["gpt-5.5", "o3", "gpt-4.1"])
def test_older_models_refuse_the_new_fields(ask: Client, model: str) -> None:
    field = "messages" if ask.api == "chat" else "input"
    marked = [{"role": "user", "content": [ask.part("hi", marked=True)]}]
    plain = [{"role": "user", "content": "hi"}]
    cases = {
        f"{field}[0].content[0].prompt_cache_breakpoint": ask.post(marked, model),
        "prompt_cache_options": ask.post(plain, model, prompt_cache_options={"ttl": "30m"}),
    }
    for path, answer in cases.items():
        assert answer.status_code == 400
        assert answer.json()["error"] == {
            "message": f"Unknown parameter: '{path}'.",
            "type": "invalid_request_error",
            "param": path,
            "code": "unknown_parameter",
        }
    assert ask.post(plain, model, prompt_cache_key="agent-1").status_code == 200


def test_new_models_refuse_wrong_values(ask: Client) -> None:
    plain = [{"role": "user", "content": "hi"}]
    for options in ({"mode": "loose"}, {"ttl": "5m"}):
        answer = ask.post(plain, "gpt-6.1-sol", prompt_cache_options=options)
        assert answer.json()["error"]["code"] == "invalid_value"
    said = [{"role": "assistant", "content": [ask.part("hi", marked=True)]}, *plain]
    assert ask.post(said, "gpt-6.1-sol").json()["error"]["code"] == "unknown_parameter"


def test_a_script_may_say_otherwise_and_by_default_nothing_is_cached(ask: Client) -> None:
    ask("aaaa")
    ask.sim.script([Reply("x", cached_tokens=7, cache_write_tokens=8)])
    assert ask("aaaa") == (7, 8)
    ask.sim.reset()
    assert ask("aaaa") == (0, end("aaaa"))
    with ProviderSimulator() as plain:
        other = Client(plain, ask.api)
        assert other("aaaa") == other("aaaa") == (0, 0)
        assert other("aaaa", model="o3") == (0, None)


@pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_langchain_reports_both(caching: ProviderSimulator, responses: bool, stream: bool) -> None:
    model = ChatOpenAI(
        model="gpt-6.1-sol",
        base_url=caching.openai_url,
        api_key="sk-x",  # type: ignore[arg-type]  # pydantic makes it a secret
        use_responses_api=responses,
        stream_usage=True,
    )
    system = {"role": "system", "content": [{"type": "text", "text": SYSTEM, **MARK}]}

    def details(text: str) -> dict[str, int]:
        messages = [system, {"role": "user", "content": text}]
        message: Any = None
        for part in model.stream(messages) if stream else [model.invoke(messages)]:
            message = part if message is None else message + part
        return dict(message.usage_metadata["input_token_details"])

    first, second = details("aaaa"), details("bbbb")
    assert (first["cache_read"], first["cache_creation"]) == (0, end("aaaa"))
    assert second["cache_read"] == TOKENS + WRAP
    assert second["cache_creation"] == end("bbbb") - TOKENS - WRAP


def test_it_is_deterministic(caching: ProviderSimulator) -> None:
    def play() -> list[Use]:
        caching.reset()
        ask: Callable[..., Use] = Client(caching, "responses")
        return [ask(text, mark=number % 2 == 0) for number, text in enumerate("abcab")]

    assert play() == play()
