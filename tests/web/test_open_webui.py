"""What Open WebUI sends with its defaults, recorded and played again."""

import json
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from allotrope.settings import Settings
from allotrope.testing import ProviderSimulator
from allotrope.usage.ledger.ledger import open_ledger
from allotrope.usage.queries.browse import Pick, page
from allotrope.usage.queries.sums import Window
from allotrope.web.openai.housekeeping import by_rule, is_housekeeping
from allotrope.web.openai.request import read_request

RECORDED = json.loads((Path(__file__).parent / "open_webui.json").read_text(encoding="utf-8"))
REQUESTS = [
    {**body, "tools": RECORDED["tools"]} if "tools" in body else body
    for body in RECORDED["requests"]
]
QUESTIONS = [body for body in REQUESTS if "tools" in body]
HOUSEKEEPING = [body for body in REQUESTS if "tools" not in body]

SAID = {
    '"title"': '{ "title": "Percentages" }',
    '"tags"': '{ "tags": ["Mathematics"] }',
    '"follow_ups"': '{ "follow_ups": ["And of 1,000?"] }',
    "480": "12.5 % of 480 is 60.",
    "960": "12.5 % of 960 is 120.",
}
"""What the model says, by what the last message has in it."""


def said(text: str) -> str:
    return next(answer for sign, answer in SAID.items() if sign in text)


def text_of(answer: httpx.Response) -> str:
    if not answer.headers["content-type"].startswith("text/event-stream"):
        return str(answer.json()["choices"][0]["message"]["content"])
    chunks = [json.loads(line) for line in re.findall(r"^data: (\{.*)$", answer.text, re.M)]
    return "".join(
        choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]
    )


def test_two_messages_and_regenerate_with_all_that_goes_with_them(
    served: str, simulator: ProviderSimulator, simulator_settings: Settings
) -> None:
    simulator.answer_with(lambda asked: said(asked.text))
    answers = []
    with httpx.Client(base_url=f"{served}/v1", timeout=60) as client:
        for body in REQUESTS:
            answer = client.post("/chat/completions", json=body)
            assert answer.status_code == 200, answer.text
            assert ("tools" in answer.headers.get("x-allotrope-ignored", "")) == ("tools" in body)
            answers.append(text_of(answer))
    assert answers == [said(body["messages"][-1]["content"]) for body in REQUESTS]
    threads = httpx.get(f"{served}/api/threads").json()["threads"]
    assert len(threads) == 2, "the conversation, and its branch with the regenerated answer"
    kept = [
        [
            message["text"]
            for message in httpx.get(f"{served}/api/threads/{one['thread_id']}").json()["messages"]
        ]
        for one in threads
    ]
    conversation = ["What is 12.5 % of 480?", SAID["480"], "And of 960?", SAID["960"]]
    assert kept == [conversation, conversation]
    models = [(chat.model, "### Task" in chat.text) for chat in simulator.chats()]
    cheap = {model for model, aside in models if aside}
    asked = [model for model, aside in models if not aside]
    assert (len(cheap), len(asked)) == (1, 3)
    assert cheap.isdisjoint(asked), "titles and the like are the cheap model's"
    assert in_the_ledger(simulator_settings, "housekeeping", len(HOUSEKEEPING))


def in_the_ledger(settings: Settings, agent: str, calls: int) -> bool:
    """Whether an agent has so many calls there, once they are written."""
    deadline = time.monotonic() + 20
    now = datetime.now(UTC)
    window = Window(now - timedelta(hours=1), now + timedelta(hours=1))
    pick = Pick(window, {"agent": agent})
    with open_ledger(settings) as ledger:
        while (found := len(page(ledger, pick).rows)) < calls and time.monotonic() < deadline:
            time.sleep(0.1)
    return found == calls


def test_its_questions_are_told_from_those_of_people() -> None:
    assert len(QUESTIONS) == 3
    assert len(HOUSEKEEPING) >= 4
    assert all(is_housekeeping(read_request(body)) for body in HOUSEKEEPING)
    assert not any(is_housekeeping(read_request(body)) for body in QUESTIONS)


DOCUMENTS = """### Task:
Respond to the user query using the provided context, incorporating inline citations.

### Output:
Provide a clear and direct response to the user's query.

<context>
<source id="1">Bees dance.</source>
</context>

Why?"""

COMPLETION = """### Task:
You are an autocompletion system. Continue the text in `<text>` based on the **completion type**.
#### Output:
"""

COMPACTION = """### Task:
Summarize the conversation history that will be compacted out of the active chat context.

### Messages Being Compacted:
USER: Hello"""


@pytest.mark.parametrize(
    ("text", "aside"),
    [
        (DOCUMENTS, False),
        ("### Task:\nWrite a poem.\n### Output:\nFour lines.", False),
        ("What does ### Task: mean in <chat_history></chat_history>?", False),
        (COMPLETION, True),
        (COMPACTION, True),
    ],
)
def test_a_persons_text_that_looks_like_it_is_a_turn(text: str, aside: bool) -> None:
    body = {"model": "assistant", "messages": [{"role": "user", "content": text}]}
    assert is_housekeeping(read_request(body)) is aside


def test_without_a_model_that_is_up_to_it_a_rule_answers() -> None:
    by_field = {
        field: json.loads(answer or "")
        for body in HOUSEKEEPING
        for text in [body["messages"][0]["content"]]
        for answer in [by_rule(text)]
        for field in json.loads(answer or "{}")
    }
    assert by_field["title"] == {"title": "What is 12.5 % of"}
    assert by_field["tags"] == {"tags": ["General"]}
    assert by_field["follow_ups"] == {"follow_ups": []}
    assert by_rule(COMPLETION) == '{"text": ""}'
    assert by_rule(COMPACTION) is None


def test_nobody_up_still_gives_a_title_and_no_summary(
    served: str, simulator: ProviderSimulator
) -> None:
    simulator.down("openai")
    simulator.down("ollama")
    compaction = {**HOUSEKEEPING[0], "messages": [{"role": "user", "content": COMPACTION}]}
    try:
        title, summary = (
            httpx.post(f"{served}/v1/chat/completions", json=body, timeout=60)
            for body in (HOUSEKEEPING[0], compaction)
        )
    finally:
        simulator.up("openai")
        simulator.up("ollama")
    ours: dict[str, Any] = title.json()["allotrope"]
    assert json.loads(text_of(title)) == {"title": "What is 12.5 % of"}
    assert (ours["provider"], ours["cost_usd"], ours["thread_id"]) == ("rule", "0.000000", None)
    assert summary.status_code == 503
    assert summary.json()["error"]["code"] == "no_model_available"
