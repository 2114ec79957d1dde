"""Words of like meaning: what is near to the question counts, a little, and only in English."""

from datetime import date

from langchain_core.messages import HumanMessage
from tests.memory.test_slots import MakeMemory

from allotrope.memory.recall.nearness import likeness, nearness
from allotrope.memory.recall.ranking import Candidate
from allotrope.memory.recall.words import bag


def candidate(seq: int, text: str, speaker: str = "maria", session: int = 1) -> Candidate:
    found = bag(text)
    return Candidate(seq, seq, session, speaker, date(2026, 5, 8), found, length=found.total())


TALK = [
    candidate(n, text)
    for n, text in enumerate(
        [
            "The printer is broken again.", "We talked about the parking permit.",
            "Maria baked a cake and cookies.", "The lawyer sent a letter.",
            "It rained all afternoon.", "The printer works now.", "My train was late.",
            "The permit costs forty euros.", "I sold the old lamp.", "The lawyer is on holiday.",
        ]
    )
]  # fmt: skip


def test_a_word_of_like_meaning_lifts_its_message_and_none_without() -> None:
    added = likeness(dict.fromkeys(bag("dessert"), 1.0), TALK, frozenset())
    assert max(range(len(added)), key=added.__getitem__) == 2
    assert 0.1 < added[2] < 0.16
    assert added[6] == 0


def test_words_that_have_no_vector_count_where_they_stand_as_they_are() -> None:
    talk = [*TALK, candidate(10, "The code is qx77-zv.")]
    added = likeness({"qx77": 1.0}, talk, frozenset())
    assert max(range(len(added)), key=added.__getitem__) == 10
    assert likeness({}, TALK, frozenset()) == [0.0] * len(TALK)
    assert likeness({"cake": 1.0}, [], frozenset()) == []


def test_what_the_named_speaker_says_counts_more() -> None:
    talk = [*TALK, candidate(20, "Cake for all.", "john"), candidate(30, "Cake for one.", "maria")]
    added = likeness(dict.fromkeys(bag("dessert"), 1.0), talk, frozenset({"john"}))
    assert added[10] > added[11]


def test_neighbours_and_session_of_a_near_message_get_some_of_it() -> None:
    far, near = [0.0, 1.0], [1.0, 0.0]
    talk = [candidate(n, "x", session=n // 4) for n in range(12)]
    vectors = [far] * 12
    vectors[5] = near
    added = nearness([1.0, 0.0], vectors, talk, frozenset())
    assert max(range(12), key=added.__getitem__) == 5
    assert added[4] == added[6] > added[7] > added[1] == 0


def test_a_synonym_in_a_long_thread_comes_first_of_equals(make_memory: MakeMemory) -> None:
    memory = make_memory(summary="off")
    said = ["Anna bought a lamp.", "Anna bought a puppy.", "Anna bought a chair."]
    texts = [*said, *(f"It was a grey day, number {n}." for n in range(30))]
    memory.settle([HumanMessage(text, id=str(n)) for n, text in enumerate(texts)], thread="t")
    found = memory.recall.find("default", "t", "Which dog has Anna bought?")
    assert found[0].message.text == "Anna bought a puppy."
