"""What word vectors say of two questions: which word of one has no counterpart in the other."""

import numpy as np
import pytest

from allotrope.models.cache.semantic.meaning import DIMENSIONS, MEANING, meaning
from allotrope.models.cache.semantic.parse import parse


def _named(a: str, b: str) -> dict[str, float]:
    values, _ = meaning(parse(a), parse(b), 0.9, {"": 1.0})
    return dict(zip(MEANING, values, strict=True))


def test_another_word_for_the_same_is_nearer_than_another_thing() -> None:
    same = _named("How do I sell my car?", "How do I sell my vehicle?")
    other = _named("How do I sell my car?", "How do I sell my piano?")
    assert same["extra_match_best"] > 0.7 > other["extra_match_best"]
    assert same["gap_peak_most"] < other["gap_peak_most"]
    assert same["centre"] > other["centre"]


def test_it_is_the_same_whichever_question_comes_first() -> None:
    a, b = parse("How can I learn to paint walls?"), parse("What is the way to paint a big house?")
    one, two = meaning(a, b, 0.8, {"": 2.0}), meaning(b, a, 0.8, {"": 2.0})
    assert one[0] == pytest.approx(two[0])
    assert one[1] == pytest.approx(two[1])


def test_the_same_words_differ_in_nothing() -> None:
    values, direction = meaning(
        parse("Where is Zzyzx?"), parse("Zzyzx, where is it?"), 0.9, {"": 1.0}
    )
    named = dict(zip(MEANING, values, strict=True))
    assert named["gap_peak_most"] == 0
    assert named["extra_match_best"] == 1
    assert not direction.any()


def test_an_unknown_word_is_near_only_to_what_is_spelled_alike() -> None:
    typo = _named("What does Brobdingnagian mean?", "What does Brobdignagian mean?")
    other = _named("What does Brobdingnagian mean?", "What does Xylophagous mean?")
    assert 0.6 < typo["extra_match_best"] < 1
    assert other["extra_match_best"] == 0


@pytest.mark.parametrize("text", ["", "?!", "的", "who", "🙂 🙂"])
def test_odd_questions_have_features_too(text: str) -> None:
    for other in ("", "How do I swim?", text):
        values, direction = meaning(parse(text), parse(other), 0.5, {"": 0.0})
        assert len(values) == len(MEANING)
        assert direction.shape == (2 * DIMENSIONS,)
        assert np.isfinite(values).all()
