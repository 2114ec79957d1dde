"""A long output is ranked and shown by the records, rows or lines that are asked for."""

import json
from collections.abc import Callable

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from tests.memory.conftest import COUNTER

from allotrope.memory.memory import ConversationMemory
from allotrope.memory.recall.passages import excerpt, passages
from allotrope.memory.recall.words import words

HOSTS = {
    "region": "eu",
    "hosts": [
        {"host": f"web-{n}", "net": {"ip": f"10.0.0.{n}"}, "note": "x" * 390} for n in range(90)
    ],
}
ROWS = [f"{4000 + n},Name {n},Town{n % 7},{n * 31}.50" for n in range(200)]
LOG = [f"2026-05-08 12:00:{n % 60:02d} INFO served /orders/{n} in {n % 9} ms" for n in range(300)]
LOG[177] = "2026-05-08 12:02:57 ERROR payment worker gave up on order 8001: code E731"
PAID = [{"id": n, "phone": 7 * n} for n in range(500)]
RECORDS = "\n".join(
    f"2026-05-08 12:00:{n % 60:02d} WARN order {900 + n} was handed back\n"
    f"    region: north\n    attempt: {n % 5}\n    cause: valve-{n * 13}"
    for n in range(120)
)
TRACES = "\n".join(
    f"2026-05-08 12:00:{n % 60:02d} ERROR job {900 + n} failed\n"
    "Traceback (most recent call last):\n"
    + '  File "/srv/app/queue.py", line 12, in run\n    return self.next(item)\n' * 6
    + f'  File "/srv/app/last.py", line {n + 40}, in handle\n    raise KeyError(key)\n'
    + f"KeyError: 'k{n}'"
    for n in range(60)
)
YAML = "services:\n" + "\n".join(
    f"- name: app-{n}\n  spec:\n    labels:\n      note: {'x' * 300}\n    containers:\n"
    f"      - image: registry/app:{n}.7\n        limits:\n          memory: {n * 3}Mi"
    for n in range(40)
)
CODE = "\n\n".join(
    f"def handle_{n}(items):\n    for item in items:\n        if item.size > {n * 17}:\n"
    "            raise ValueError(item)\n    return items"
    for n in range(90)
)
QUOTED = "ticket,note,code\n" + "\n".join(
    f'{4000 + n},"late, as\n""ever"", number {n}",c-{n * 31}' for n in range(150)
)
WIDE = "\n".join(
    "|".join(
        [f"S-{n}" if n else "store", *(f"{n * 100 + k if n else f'w{k} cost'}" for k in range(99))]
    )
    for n in range(60)
)
OUTPUTS = {
    "log records": (RECORDS, "What was the cause that order 977 was handed back?", "valve-1001"),
    "stack traces": (TRACES, "On which line was the error of job 931 raised?", "line 71"),
    "yaml": (YAML, "Which memory limit does app-31 have?", "93Mi"),
    "code": (CODE, "Above which size does handle_61 raise an error?", "> 1037"),
    "quoted csv": (QUOTED, "Which code has ticket 4077?", "c-2387"),
    "wide rows": (WIDE, "What is the w83 cost of store S-41?", "w83 cost: 4183"),
    "json": (json.dumps(HOSTS, indent=1), "Which ip does host web-61 have?", "10.0.0.61"),
    "minified": (json.dumps(PAID), "phone of 433?", "3031"),
    "jsonl": ("\n".join(map(json.dumps, PAID)), "phone of 377?", "2639"),
    "log": ("\n".join(LOG), "With which code did the payment worker give up?", "E731"),
    "csv": ("\n".join(["id,name,town,balance", *ROWS]), "What balance has 4133?", "4123.50"),
    "prose": ("The rain went on. " * 600 + "The key is under the red pot. " + "It rained. " * 600,
              "Where is the key?", "red pot"),
    "chinese": ("雨下了很久。" * 500 + "钥匙在红色花盆下面。" + "天气很好。" * 500,
                "钥匙在哪里？", "红色花盆"),
}  # fmt: skip


@pytest.mark.parametrize("kind", OUTPUTS)
def test_the_matching_part_is_shown_and_not_the_head(kind: str) -> None:
    text, question, answer = OUTPUTS[kind]
    asked = dict.fromkeys(words(question), 1.0)
    shown = excerpt(text, asked, tokens=120, count=COUNTER.text)
    assert answer in shown
    assert COUNTER.text(shown) <= 140


def test_a_row_is_shown_with_its_tables_head() -> None:
    text, question, _ = OUTPUTS["csv"]
    shown = excerpt(text, dict.fromkeys(words(question), 1.0), tokens=60, count=COUNTER.text)
    assert shown.startswith("id,name,town,balance\n… 4133,")


def test_a_record_says_what_it_is_part_of() -> None:
    shown = [part.text for part in passages(OUTPUTS["json"][0]).parts]
    assert '"region":"eu" hosts[61] "host":"web-61" net {"ip":"10.0.0.61"}' in shown


def test_a_part_of_a_long_record_says_what_it_is_under_and_says_it_once() -> None:
    asked = dict.fromkeys(words("What memory limit and which image does app-31 have?"), 1.0)
    shown = excerpt(YAML, asked, tokens=120, count=COUNTER.text)
    assert shown.count("- name: app-31") == 1
    assert "registry/app:31.7" in shown
    assert "memory: 93Mi" in shown


def test_quotations_that_never_end_stay_lines() -> None:
    text = "\n".join(f'{n} is 5" long' for n in range(31))
    assert len(passages(text).parts) == 31


def test_nothing_of_a_text_is_lost_in_its_passages() -> None:
    for text in ("word " * 5_000, "y" * 5_000, "a,b\n" * 50, "", "[" * 200 + "]" * 200):
        joined = "".join(part.text for part in passages(text).parts)
        assert "".join(joined.split()) == "".join(text.split())


@pytest.mark.parametrize("kind", OUTPUTS)
def test_an_old_output_comes_back_by_the_part_that_is_asked_for(
    make_memory: Callable[..., ConversationMemory], kind: str
) -> None:
    text, question, answer = OUTPUTS[kind]
    memory = make_memory(live_messages=8)
    call = {"name": "query", "args": {}, "id": "c", "type": "tool_call"}
    live: list[BaseMessage] = [
        HumanMessage("run it", id="1"),
        AIMessage("", tool_calls=[call], id="2"),
        ToolMessage(text, tool_call_id="c", id="3"),
    ]
    for number in range(30):
        live += [AIMessage(f"Fine {number}.", id=f"a{number}")]
        live += [HumanMessage(f"The cafe was loud on day {number}.", id=f"u{number}")]
    for at in range(3, len(live)):
        memory.settle(live[max(0, at - 8) if at > 11 else 0 : at], thread="t")
    pack = memory.fit([*live[-6:], HumanMessage(question, id="q")], budget=700, thread="t")
    assert answer in "\n".join(str(message.content) for message in pack.messages)
    assert answer in memory.search(question, thread="t")


def test_an_output_that_stands_compressed_in_the_prompt_still_shows_what_is_asked_for(
    make_memory: Callable[..., ConversationMemory],
) -> None:
    text, question, answer = OUTPUTS["csv"]
    memory = make_memory()
    call = {"name": "query", "args": {}, "id": "c", "type": "tool_call"}
    live: list[BaseMessage] = [
        HumanMessage("run it", id="1"),
        AIMessage("", tool_calls=[call], id="2"),
        ToolMessage(text, tool_call_id="c", id="3"),
        AIMessage("Done.", id="4"),
        HumanMessage(question, id="5"),
    ]
    pack = memory.fit(live, budget=1_500, thread="t")
    assert answer in "\n".join(str(message.content) for message in pack.messages)
