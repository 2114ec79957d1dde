"""What a turn leaves for after its answer is done before the thread's next turn, or again by it."""

import threading
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage

from allotrope.memory.checkpoints.live import surely_fits, surplus
from allotrope.memory.later import Later
from allotrope.memory.memory import ConversationMemory
from allotrope.memory.tokens.counting import TokenCounter

MakeMemory = Callable[..., ConversationMemory]


def test_work_is_done_in_order_and_joined() -> None:
    later, done, go = Later(), [], threading.Event()
    later.submit("a", "t", lambda: (go.wait(5), done.append(1))[1])
    later.submit("a", "t", lambda: done.append(2))
    later.join("a", "other", timeout_s=5)
    assert done == []
    go.set()
    later.join("a", "t", timeout_s=5)
    assert done == [1, 2]
    later.close(timeout_s=5)


def test_work_that_fails_ends_nothing_else() -> None:
    later, done = Later(), []
    later.submit("a", "t", lambda: 1 / 0)  # type: ignore[arg-type,return-value]  # it only raises
    later.submit("a", "t", lambda: done.append(1))
    later.join("a", "t", timeout_s=5)
    later.close(timeout_s=5)
    assert done == [1]


def test_closing_waits_no_longer_than_told() -> None:
    later, go, done = Later(), threading.Event(), []
    later.submit("a", "t", lambda: (go.wait(60), done.append(1))[1])
    later.submit("a", "u", lambda: done.append(2))
    later.close(timeout_s=0.01)
    assert not go.is_set()
    assert done == [], "it came back although work still ran"
    go.set()


def test_closing_waits_for_what_was_handed_in(make_memory: MakeMemory) -> None:
    memory = make_memory()
    live = [HumanMessage("where is it", id="1"), AIMessage("in Rome", id="2")]
    memory.after_turn_later(live, thread="t")
    memory.close()
    assert [row["data"]["id"] for row in make_memory().archive.export("default", "t")] == ["1", "2"]


def test_a_turn_that_was_not_archived_is_archived_by_the_next(make_memory: MakeMemory) -> None:
    memory = make_memory()
    live = [HumanMessage("where is it", id="1"), AIMessage("in Rome", id="2")]
    # the process was killed before its background work; the checkpoint has both messages
    live += [HumanMessage("and the other", id="3"), AIMessage("in Bern", id="4")]
    memory.after_turn_later(live, thread="t")
    assert memory.delete_thread("t") == 4


def test_a_thread_that_fits_is_sent_whole_and_nothing_is_written(make_memory: MakeMemory) -> None:
    memory = make_memory()
    live = [HumanMessage("one", id="1"), AIMessage("two", id="2"), HumanMessage("three", id="3")]
    pack = memory.fit(live, budget=1_000, thread="t")
    assert [message.id for message in pack.messages] == ["1", "2", "3"]
    assert pack.audit["archived"] == 3
    assert memory.archive.thread("default", "t") is None


def test_a_thread_with_more_in_the_archive_than_is_live_is_recalled(
    make_memory: MakeMemory,
) -> None:
    memory = make_memory()
    memory.after_turn([HumanMessage("The vault code is 4711.", id="0")], thread="t")
    pack = memory.fit([HumanMessage("What is the vault code?", id="1")], budget=1_000, thread="t")
    assert any("4711" in message.text for message in pack.messages)


@given(
    st.lists(st.text(max_size=30), min_size=1, max_size=12),
    st.integers(1, 12),
    st.integers(10, 400),
)
def test_what_surely_fits_leaves_nothing_over(texts: list[str], most: int, tokens: int) -> None:
    history = [HumanMessage(text, id=str(i)) for i, text in enumerate(texts)]
    if surely_fits(history, messages=most, tokens=tokens):
        assert not surplus(history, messages=most, tokens=tokens, counter=TokenCounter())
