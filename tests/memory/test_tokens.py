"""Counts against what OpenAI reported, and against tiktoken's own definition."""

import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage, convert_to_messages
from langchain_core.utils.function_calling import convert_to_openai_tool

from allotrope.exceptions import StoreError
from allotrope.memory.tokens.counting import Calibration, TokenCounter, exact
from allotrope.memory.tokens.images import image_tokens, pixel_size
from allotrope.stores.vocabulary import O200K_SHA256, o200k_base, parse_ranks

RECORDED = json.loads((Path(__file__).parent / "recorded_usage.json").read_text("utf-8"))


EMBEDDED = json.loads((Path(__file__).parent / "recorded_embedded.json").read_text("utf-8"))


@pytest.mark.parametrize("case", RECORDED["cases"], ids=lambda case: case["name"])
def test_counts_are_within_two_percent_of_what_the_provider_reported(case: dict[str, Any]) -> None:
    counter = TokenCounter(model=case["model"])
    messages = convert_to_messages(case["messages"])
    counted = counter.messages(messages) + counter.tools(
        RECORDED["tools"].get(case.get("tools"), []),
        with_system=any(m.type == "system" for m in messages),
    )
    off = abs(counted - case["prompt_tokens"])
    assert off <= max(1, 0.02 * case["prompt_tokens"]), (counted, case["prompt_tokens"])


def test_the_recorded_prompts_together_are_within_one_percent() -> None:
    counted = reported = 0
    for case in RECORDED["cases"]:
        counter = TokenCounter(model=case["model"])
        messages = convert_to_messages(case["messages"])
        tools = RECORDED["tools"].get(case.get("tools"), [])
        counted += counter.messages(messages)
        counted += counter.tools(tools, with_system=any(m.type == "system" for m in messages))
        reported += case["prompt_tokens"]
    assert abs(counted / reported - 1) < 0.01


def test_encoding_is_tiktokens_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from tiktoken_ext import openai_public

    def refuse(*_: Any, **__: Any) -> dict[bytes, int]:
        return {}

    monkeypatch.setattr(openai_public, "load_tiktoken_bpe", refuse)
    published = openai_public.o200k_base()
    ours = o200k_base()
    assert ours._pat_str == published["pat_str"]
    assert ours._special_tokens == published["special_tokens"]
    assert ours.n_vocab == 200_019


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("hello", 1), ("hello world", 2), ("tiktoken is great!", 6)]
)
def test_known_counts(text: str, tokens: int) -> None:
    assert TokenCounter().text(text) == tokens


def test_special_tokens_in_a_users_text_are_plain_text() -> None:
    assert exact("a <|endoftext|> b") > 3


def test_a_damaged_vocabulary_is_refused_with_what_to_do() -> None:
    with pytest.raises(StoreError, match="force-reinstall"):
        parse_ranks(b"IQ== 0\n")
    assert len(O200K_SHA256) == 64


def test_a_text_is_counted_once() -> None:
    seen: list[str] = []

    def count(text: str) -> int:
        seen.append(text)
        return len(text)

    counter = TokenCounter(count_text=count)
    message = HumanMessage("the same words " * 20)
    assert counter.message(message) == counter.message(message)
    assert counter.calibrated(1.5).message(message) > counter.message(message)
    assert len(seen) == 1


def test_calibration_follows_reports_and_ignores_nonsense() -> None:
    start = Calibration()
    first = start.updated(counted=100, reported=120)
    assert first.ratio == pytest.approx(1.2)
    assert first.updated(counted=100, reported=100).ratio == pytest.approx(1.14)
    assert first.updated(counted=0, reported=9) is first
    assert first.updated(counted=1_000, reported=26) is first, "a cached prefix isn't counted"
    assert start.updated(counted=1, reported=10_000).ratio == 4.0


def test_tool_calls_are_counted_by_name_and_arguments() -> None:
    counter = TokenCounter()
    call = {"name": "search", "args": {"q": "x" * 400}, "id": "1", "type": "tool_call"}
    one = counter.message(AIMessage("", tool_calls=[call]))
    both = counter.message(AIMessage("", tool_calls=[call, {**call, "id": "2"}]))
    assert one > 40
    assert both > 2 * one
    assert counter.message(ToolMessage("ok", tool_call_id="1")) < 10


def test_nested_and_self_referring_schemas_are_counted() -> None:
    tree: dict[str, Any] = {
        "type": "function",
        "function": {
            "name": "t",
            "parameters": {
                "type": "object",
                "properties": {
                    "node": {"$ref": "#/$defs/Node"},
                    "kind": {"enum": ["a", "b"]},
                    "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                    "tags": {"type": "array", "items": {"type": "string"}},
                },
                "$defs": {
                    "Node": {
                        "type": "object",
                        "properties": {"next": {"$ref": "#/$defs/Node"}},
                    }
                },
            },
        },
    }
    assert TokenCounter().tools([tree]) > 40
    assert TokenCounter().tools([]) == 0

    def add(a: int, b: int) -> int:
        """Adds two numbers."""
        return a + b

    assert 20 < TokenCounter().tools([convert_to_openai_tool(add)]) < 60


@pytest.mark.parametrize(
    ("width", "height", "detail", "model", "tokens"),
    [
        (1024, 1024, "high", "gpt-4o", 765),  # the guide's first example
        (2048, 4096, "high", "gpt-4o", 1105),  # the guide's second example
        (4096, 8192, "low", "gpt-4o", 85),  # the guide's third example
        (1024, 1024, "high", "o3", 675),
        (1024, 1024, "high", "o4-mini", 1762),  # 1,024 patches x 1.72
        (1800, 2400, "high", "o4-mini", 2498),  # 1,452 patches x 1.72
    ],
)
def test_images_by_the_published_formula(
    width: int, height: int, detail: str, model: str, tokens: int
) -> None:
    assert image_tokens(width, height, detail=detail, model=model) == tokens


def test_image_sizes_are_read_from_the_data() -> None:
    png = (
        b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (640).to_bytes(4, "big") + (480).to_bytes(4, "big")
    )
    assert pixel_size(png) == (640, 480)
    assert pixel_size(b"GIF89a" + (3).to_bytes(2, "little") + (4).to_bytes(2, "little")) == (3, 4)
    jpeg = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x0b\x08" + b"\x00\x10\x00\x20" + b"\0" * 8
    assert pixel_size(jpeg) == (32, 16)
    assert pixel_size(b"no image") is None


def test_multimodal_messages_are_counted() -> None:
    import base64

    png = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (512).to_bytes(4, "big") * 2
    link = "data:image/png;base64," + base64.b64encode(png).decode()
    parts: list[str | dict[str, Any]] = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": link}},
    ]
    counter = TokenCounter(model="o3")
    assert counter.message(HumanMessage(parts)) == 4 + counter.text("What is this?") + 225
    far: list[str | dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    ]
    assert counter.message(HumanMessage(far)) > 1000
    odd: list[str | dict[str, Any]] = [{"type": "mystery", "value": 1}]
    assert counter.message(HumanMessage(odd)) > 4


def test_another_tokenizer_is_followed_within_five_percent_from_its_first_report() -> None:
    counter, calibration = TokenCounter(), Calibration()
    errors = []
    for report in EMBEDDED["reports"]:
        messages = convert_to_messages(EMBEDDED["messages"][: report["messages"]])
        guessed = counter.calibrated(calibration.ratio).messages(messages)
        errors.append(abs(guessed / report["prompt_tokens"] - 1))
        calibration = calibration.updated(
            counted=counter.messages(messages), reported=report["prompt_tokens"]
        )
    assert errors[0] > 0.08, "as o200k_base counts it"
    assert max(errors[1:]) <= 0.05
