"""Recall reads a message once, and still sees what changed; its lines are short and clear."""

from datetime import UTC, datetime, timedelta

from langchain_core.messages import HumanMessage
from tests.memory.conftest import COUNTER

from allotrope.memory.archive.archive import Archive
from allotrope.memory.archive.sqlite import SqliteDatabase
from allotrope.memory.context.block import build, choose
from allotrope.memory.recall.recall import Recall, Recalled

AT = datetime(2026, 5, 8, 12, tzinfo=UTC)


def said(*texts: str) -> list[HumanMessage]:
    return [HumanMessage(text, id=str(number)) for number, text in enumerate(texts)]


def found(recall: Recall, question: str, thread: str = "t") -> list[Recalled]:
    return recall.find("default", thread, question)


def test_a_number_given_again_after_a_deletion_is_read_again() -> None:
    archive = Archive(SqliteDatabase(":memory:"))
    recall = Recall(archive)
    archive.add("default", "t", said("The zebra is striped."), at=AT)
    assert [item.message.text for item in found(recall, "zebra")] == ["The zebra is striped."]
    archive.delete_thread("default", "t")
    archive.add("default", "t", said("The zebra is plain."), at=AT + timedelta(hours=1))
    [again] = found(recall, "zebra")
    assert again.message.text == "The zebra is plain."
    assert again.message.at == AT + timedelta(hours=1)
    archive.close()


def test_a_correction_marked_since_is_seen() -> None:
    archive = Archive(SqliteDatabase(":memory:"))
    recall = Recall(archive)
    old, new = archive.add("default", "t", said("The gate is red.", "The gate is blue."), at=AT)
    assert {item.message.superseded_by for item in found(recall, "gate")} == {None}
    archive.supersede(old.row, new.row)
    marks = {item.message.row: item.message.superseded_by for item in found(recall, "gate")}
    assert marks == {old.row: new.row, new.row: None}
    archive.close()


def test_many_common_words_keep_the_rare_one_findable() -> None:
    archive = Archive(SqliteDatabase(":memory:"))
    recall = Recall(archive)
    texts = [f"The boat went down the river number {n}." for n in range(900)]
    texts[5] = "The boat is called Petronella."
    archive.add("default", "t", said(*texts), at=AT)
    assert found(recall, "What is the boat called Petronella?")[0].message.seq == 5
    archive.close()


def test_lines_name_year_and_speaker_once_and_cost_what_they_say() -> None:
    archive = Archive(SqliteDatabase(":memory:"))
    recall = Recall(archive)
    for number, (name, text) in enumerate(
        [
            ("Ann", "The boat is old."),
            ("Ann", "The boat is red."),
            ("Ben", "A boat!\nA boat!"),
            ("Ann", "My boat sank."),
        ]
    ):
        at = AT + timedelta(days=20 if number == 3 else 0)
        message = HumanMessage(text, name=name, id=str(number))
        archive.add("default", "t", [message], at=at)
    ranked = found(recall, "boat")
    chosen = choose(ranked, tokens=500, counter=COUNTER, question="boat", longest=99)
    block = build("", chosen)
    assert block is not None
    assert str(block.content).split("\n")[2:] == [
        "8 May 2026",
        "Ann: The boat is old.",
        "- The boat is red.",
        "Ben: A boat!",
        "  A boat!",
        "28 May",
        "Ann: My boat sank.",
    ]
    for tokens in range(20, 90, 7):
        part = choose(ranked, tokens=tokens, counter=COUNTER, question="boat", longest=99)
        lines = build("", part)
        frame = COUNTER.message(build("x", ()) or block)
        assert lines is None or COUNTER.message(lines) <= tokens + frame
    archive.close()


def test_a_word_that_was_never_said_finds_what_is_derived_from_it() -> None:
    archive = Archive(SqliteDatabase(":memory:"))
    recall = Recall(archive)
    texts = [f"Am Fluss war es kalt, Tag {n}." for n in range(40)]
    texts[7] = "Gegen Nüsse bin ich allergisch."
    texts[9] = "Die Allee ist lang."
    archive.add("default", "t", said(*texts), at=AT)
    assert found(recall, "Welche Allergie?")[0].message.seq == 7
    archive.add("default", "t", [HumanMessage("Die Allergie ist weg.", id="new")], at=AT)
    assert found(recall, "Welche Allergie?")[0].message.message_id == "new"
    archive.close()
