"""A correction marks the one statement it is about, in any language, and nothing else."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from langchain_core.messages import HumanMessage
from tests.memory.conftest import COUNTER

from allotrope.memory.context.block import choose
from allotrope.memory.memory import ConversationMemory
from allotrope.memory.recall.corrections import best_match, corrected, is_correction
from allotrope.memory.recall.recall import with_corrections

SET = Path(__file__).parents[2] / "benchmarks" / "datasets" / "truth_corrections.jsonl"
CASES = [json.loads(line) for line in SET.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("case", [c for c in CASES if c["kind"] == "correction"], ids=str)
def test_a_correction_is_told_and_matched_to_its_statement(case: dict[str, object]) -> None:
    later, earlier = str(case["later"]), list(case["earlier"])  # type: ignore[call-overload]  # a list of the file
    assert is_correction(later)
    assert best_match(later, earlier) == [case["corrected"]]


@pytest.mark.parametrize("case", [c for c in CASES if c["kind"] == "other"], ids=str)
def test_another_thing_or_attribute_is_left_alone(case: dict[str, object]) -> None:
    later = str(case["later"])
    assert not is_correction(later) or not best_match(later, case["earlier"])  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize(
    "case", [c for c in CASES if c["kind"] == "quiet"], ids=lambda c: c["language"]
)
def test_talk_full_of_cues_marks_nothing(case: dict[str, list[str]]) -> None:
    texts = case["texts"]
    wrong = [
        (texts[old], later)
        for at, later in enumerate(texts)
        if is_correction(later)
        for old in best_match(later, texts[:at])
    ]
    assert wrong == []


def test_one_sentence_of_a_message_is_meant() -> None:
    earlier = "Hello. My phone number is 555-0101. I like tea."
    later = "Actually, my phone number is 555-0199."
    assert corrected(later, earlier) == "My phone number is 555-0101."
    assert corrected("Actually, my locker number is 12.", earlier) is None


def test_the_prompt_marks_the_sentence_and_not_its_neighbours(
    make_memory: Callable[..., ConversationMemory],
) -> None:
    memory = make_memory()
    texts = [
        "My phone number is 555-0101. My cat is called Miso.",
        "The rain went on for days.",
        "Actually, my phone number is 555-0199.",
    ]
    for number, text in enumerate(texts):
        memory.settle([HumanMessage(text, id=str(number))], thread="t")
    facts = memory.archive.thread("default", "t")
    assert facts is not None
    question = "What is my phone number?"
    found = memory.recall.find("default", "t", question)
    found = with_corrections(memory.archive, facts, found)
    lines = choose(found, tokens=400, counter=COUNTER, question=question, longest=200)
    shown = {line.recalled.message.seq: (line.who, line.text) for line in lines}
    assert shown[0] == (
        "user",
        "My phone number is 555-0101. [corrected later] My cat is called Miso.",
    )
    assert shown[2] == ("user", "Actually, my phone number is 555-0199.")


def test_what_was_said_twice_in_the_same_words_is_marked_twice() -> None:
    said = ["The gate code is 4817.", "The hall code is 9.", "The gate code is 4817"]
    assert best_match("Correction: the gate code is 5920.", said) == [0, 2]


def test_a_letter_that_names_somebody_counts() -> None:
    assert corrected("Correction: patient B weighs 80 kg.", "Patient A weighs 70 kg.") is None
    assert corrected("Correction: patient A weighs 80 kg.", "Patient A weighs 70 kg.")
    assert corrected("I'm no longer vegetarian.", "I'm vegetarian.")
