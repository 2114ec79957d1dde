"""Each way that a graph's state can take: every branch of every router, and a state for it.

Whether the nodes bring such states about is tested with each agent (`tests/agents`); here a branch
that is broken turns red at once.
"""

from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from allotrope.graphs import analyst, coder, creative, researcher
from allotrope.graphs.building import again_while_wrong
from allotrope.graphs.nodes import REPORT, RESPOND, wants_tools
from allotrope.graphs.work.coding.approving import after_approve

LIMITS = SimpleNamespace(
    analyst_repairs=2, coder_repairs=2, creative_drafts=3, creative_revisions=2, research_repairs=2
)
PARTS: Any = SimpleNamespace(get=lambda: SimpleNamespace(settings=SimpleNamespace(agents=LIMITS)))


def way(router: Any, state: dict[str, Any], **more: Any) -> str:
    return str(router({**state, **more}))


ASKED = {"declined": False, "trouble": "", "reading": "yes"}


@pytest.mark.parametrize(
    ("more", "to"),
    [
        ({}, "run"),
        ({"reading": "always"}, "run"),
        ({"declined": True}, REPORT),
        ({"declined": True, "trouble": "no walls"}, REPORT),
        ({"reading": "edit"}, "revise"),
        ({"reading": "question"}, "explain"),
        ({"reading": "wait"}, "approve"),
        ({"reading": "unclear"}, "approve"),
    ],
)
def test_coder_after_an_answer(more: dict[str, Any], to: str) -> None:
    assert way(after_approve, ASKED, **more) == to


RAN = {"trouble": "", "outcome": {"status": "failed"}, "repairs": 1}
UNPROVEN = {"status": "unproven", "proof": {"problems": ["weak"]}}
JUDGED = {"status": "unproven", "proof": {"problems": []}}


@pytest.mark.parametrize(
    ("more", "to"),
    [
        ({}, "repair"),
        ({"repairs": 2}, "repair"),
        ({"repairs": 3}, REPORT),
        ({"remaining_steps": 6}, REPORT),
        ({"remaining_steps": 7}, "repair"),
        ({"trouble": "no sandbox"}, REPORT),
        ({"outcome": {"status": "ok"}}, REPORT),
        ({"outcome": {"status": "no_python"}}, REPORT),
        ({"outcome": {"status": "no_code"}}, "repair"),
        ({"outcome": UNPROVEN}, "repair"),
        ({"outcome": JUDGED}, REPORT),
    ],
)
def test_coder_after_a_run(more: dict[str, Any], to: str) -> None:
    assert way(coder.make_after_run(PARTS), RAN, **more) == to


@pytest.mark.parametrize(
    ("state", "to"),
    [
        ({"trouble": "no such file", "files": ["a.csv"]}, REPORT),
        ({"trouble": "", "files": ["a.csv"]}, "plan"),
        ({"trouble": "", "files": ["a.csv"], "courtesy": True}, RESPOND),
        ({"trouble": "", "files": []}, RESPOND),
    ],
)
def test_analyst_after_intake(state: dict[str, Any], to: str) -> None:
    assert way(analyst.after_intake, state) == to


QUERIED = {"trouble": "", "error": "", "repairs": 0, "results": ["r"], "steps": ["a", "b"]}


@pytest.mark.parametrize(
    ("more", "to"),
    [
        ({}, "write_sql"),
        ({"results": ["r", "s"]}, "answer"),
        ({"remaining_steps": 10}, "answer"),
        ({"remaining_steps": 11}, "write_sql"),
        ({"trouble": "no engine"}, REPORT),
        ({"error": "no column", "repairs": 1, "results": ["r", "s"]}, "write_sql"),
        ({"error": "no column", "repairs": 2, "results": []}, "write_sql"),
        ({"error": "no column", "repairs": 3}, "answer"),
        ({"error": "no column", "repairs": 3, "results": []}, REPORT),
        ({"error": "no column", "repairs": 1, "remaining_steps": 8}, "answer"),
        ({"error": "no column", "repairs": 1, "remaining_steps": 9}, "write_sql"),
    ],
)
def test_analyst_after_a_query(more: dict[str, Any], to: str) -> None:
    assert way(analyst.make_after_run(PARTS), QUERIED, **more) == to


@pytest.mark.parametrize(
    ("state", "to"),
    [
        ({"repairs": 0}, "on"),
        ({"repairs": 1}, "again"),
        ({"repairs": 2}, "again"),
        ({"repairs": 3}, "on"),
        ({"repairs": 1, "remaining_steps": 5}, "on"),
        ({"repairs": 1, "remaining_steps": 6}, "again"),
    ],
)
def test_after_a_check(state: dict[str, Any], to: str) -> None:
    router = again_while_wrong(
        PARTS, lambda limits: limits.research_repairs, again="again", onward="on", steps=5
    )
    assert way(router, state) == to


BEST = {"id": 1, "broken": [], "problems": ["dull"], "score": creative.GOOD_SCORE - 1}
CHOSEN = {"best": 1, "round": 0, "drafts": [BEST]}


@pytest.mark.parametrize(
    ("draft", "more", "to"),
    [
        ({}, {}, "revise"),
        ({"score": creative.GOOD_SCORE}, {}, REPORT),
        ({"problems": []}, {}, REPORT),
        ({"score": 10, "problems": [], "broken": ["too long"]}, {}, "revise"),
        ({}, {"round": 1}, "revise"),
        ({}, {"round": 2}, REPORT),
        ({}, {"remaining_steps": 6}, REPORT),
        ({}, {"remaining_steps": 7}, "revise"),
    ],
)
def test_creative_after_a_choice(draft: dict[str, Any], more: dict[str, Any], to: str) -> None:
    state = {**CHOSEN, "drafts": [{"id": 0, "broken": ["x"]}, {**BEST, **draft}]}
    assert way(creative.make_after_choose(PARTS), state, **more) == to


def test_creative_sends_each_draft_to_a_writer_and_a_critic() -> None:
    state: Any = {"brief": "b", "constraints": [], "drafts": [{"id": 0, "score": 3}, {"id": 1}]}
    writers = creative.make_spread(PARTS)(state)
    assert [(one.node, one.arg["id"]) for one in writers] == [("draft", n) for n in range(3)]
    critics = creative.to_critique(state)
    assert [(one.node, one.arg["draft"]["id"]) for one in critics] == [("critique", 1)]


@pytest.mark.parametrize(
    ("state", "to"),
    [
        ({"trouble": "no such file", "sources": ["a"]}, REPORT),
        ({"trouble": "", "sources": ["a"]}, "plan"),
        ({"trouble": "", "sources": []}, RESPOND),
    ],
)
def test_researcher_after_reading(state: dict[str, Any], to: str) -> None:
    assert way(researcher.after_ingest, state) == to


def test_researcher_sends_each_question_to_a_search() -> None:
    state: Any = {
        "messages": [HumanMessage("q")], "questions": ["a", "b"], "sources": ["s"], "read": []
    }  # fmt: skip
    sent = researcher.spread(state)
    assert [(one.node, one.arg["at"], one.arg["question"]) for one in sent] == [
        ("look_up", 0, "a"),
        ("look_up", 1, "b"),
    ]


def test_researcher_after_the_searches() -> None:
    none: Any = {"notes": [{"passages": []}, {"passages": []}]}
    some: Any = {"notes": [{"passages": []}, {"passages": ["p"]}]}
    assert researcher.after_look_up(none) == REPORT
    assert researcher.after_look_up(some) == "write"


def test_assistant_after_an_answer() -> None:
    call = {"name": "calculate", "args": {}, "id": "1"}
    asks, says = AIMessage("", tool_calls=[call]), AIMessage("4")
    for last, wanted in ((asks, True), (says, False), (HumanMessage("?"), False)):
        state: Any = {"messages": [last]}
        assert wants_tools(state) is wanted
