"""The gate: what must never pass passes never, whatever the score; and the calibration works."""

import numpy as np
import pytest

from allotrope.exceptions import InputError
from allotrope.models.cache.semantic.fitting.calibrate import Pair, calibrate, held_out, validated
from allotrope.models.cache.semantic.fitting.learners import Fit
from allotrope.models.cache.semantic.gate import SafetyGate, refusal
from allotrope.models.cache.semantic.parse import parse
from allotrope.models.cache.semantic.score import load_scorer
from allotrope.stores.word_vectors import word_vectors

ADVERSARIAL = [
    # numbers, dates, versions, identifiers
    ("What happened in the elections of 2023?", "What happened in the elections of 2024?"),
    ("Is 5 mg of melatonin safe?", "Is 50 mg of melatonin safe?"),
    ("How do I upgrade to Python 3.11?", "How do I upgrade to Python 3.12?"),
    ("What was sold on 2024-05-01?", "What was sold on 2024-05-02?"),
    ("Explain error E1021", "Explain error E1022"),
    ("How do I convert two litres to cups?", "How do I convert three litres to cups?"),
    ("Who won the first prize?", "Who won the second prize?"),
    ("What is 15% of 1,000?", "What is 15% of 1,100?"),
    ("What is 12 + 7?", "What is 12 + 8?"),
    ("What is half of the population?", "What is a quarter of the population?"),
    ("How many people voted?", "How many people voted in 2020?"),
    # names
    ("What is the capital of France?", "What is the capital of Spain?"),
    ("Who founded Microsoft?", "Who founded Apple?"),
    ("When was Marie Curie born?", "When was Pierre Curie born?"),
    ("How do I reset my Netflix password?", "How do I reset my Spotify password?"),
    ("What is the population of South Korea?", "What is the population of North Korea?"),
    ("What does NATO do?", "What does WHO do?"),
    ("Who is the president?", "Who is the president of France?"),
    # negation
    ("Can I eat with braces?", "Can I eat without braces?"),
    ("Why do people worry about it?", "Why don't people worry about it?"),
    ("Which foods contain gluten?", "Which foods do not contain gluten?"),
    ("What do Indian men think?", "What do non-Indian men think?"),
    ("Is it ever legal?", "Is it never legal?"),
    # quantifiers, degrees, opposites
    ("What are the best films?", "What are the worst films?"),
    ("Do all birds fly?", "Do some birds fly?"),
    ("What is the maximum dose?", "What is the minimum dose?"),
    ("How do I increase the volume?", "How do I decrease the volume?"),
    ("How do I install it?", "How do I uninstall it?"),
    ("Should I buy gold?", "Should I sell gold?"),
    ("What should I do before surgery?", "What should I do after surgery?"),
    ("What are the advantages of tea?", "What are the disadvantages of tea?"),
    ("How does a man find love?", "How does a woman find love?"),
    ("Do all plans include support?", "Do any plans include support?"),
    ("Is everyone invited?", "Is anyone invited?"),
    ("Should I take it once a day?", "Should I take it twice a day?"),
    ("Where was it built?", "How was it built?"),
    # units
    ("How many km is a marathon?", "How many miles is a marathon?"),
    ("What does it cost in dollars?", "What does it cost in euros?"),
    ("Set the oven in celsius", "Set the oven in fahrenheit"),
    ("What opens on monday?", "What opens on tuesday?"),
    # kinds of question
    ("Who invented the telephone?", "When was the telephone invented?"),
    ("Where was it built?", "When was it built?"),
    ("How are suspension bridges used?", "Why are suspension bridges used?"),
    ("How many bridges are there?", "Where are the bridges?"),
    ("Why is the sky blue?", "Is the sky blue?"),
    ("How much does it weigh?", "How long does it take to weigh?"),
    # order of arguments
    ("How far is it from Texas to California?", "How far is it from California to Texas?"),
    ("Why do Poles dislike Russians?", "Why do Russians dislike Poles?"),
    ("What do people in Denver think of Seattle?", "What do people in Seattle think of Denver?"),
    ("Convert euros to dollars", "Convert dollars to euros"),
    ("Is a cat bigger than a dog?", "Is a dog bigger than a cat?"),
    ("translate german to english", "translate english to german"),
    ("Can lions eat hyenas?", "Can hyenas eat lions?"),
    # things of one kind
    ("How do I sort a list in python?", "How do I sort a list in java?"),
    ("How do I undo on windows?", "How do I undo on mac?"),
]

HARMLESS = [
    ("What is the capital of France?", "what is the capital of france"),
    ("How do I learn Python?", "What is the best way to learn Python?"),
    ("What is the difference between TCP and UDP?", "What's the difference between UDP and TCP?"),
    ("Why did Donald Trump win?", "Why did Trump win?"),
    ("How do I cook 2 eggs?", "How do I cook two eggs?"),
    ("How can I use YouTube?", "How can I use You Tube?"),
    ("What is 1,000 divided by 2.5?", "What is 1000 divided by 2.5?"),
    ("How do I leave a review?", "Where can I leave a review?"),
    ("How often does it need water?", "How frequently does it need water?"),
    ("Can I change my address after ordering?", "Can I change my address once I've ordered?"),
    ("I'd like to get a refund", "How can I get a refund?"),
    ("hey, quick question: what's the capital of Chad?", "What is the capital of Chad?"),
    ("Why do leaves turn yellow in autumn?", "Why do leaves turn yellow in the fall?"),
    ("Does coffee dehydrate you?", "Does coffee dehydrate?"),
]


@pytest.mark.parametrize(("asked", "kept"), ADVERSARIAL)
def test_the_adversarial_set_is_refused_by_rule_both_ways(asked: str, kept: str) -> None:
    assert refusal(parse(asked), parse(kept)) is not None
    assert refusal(parse(kept), parse(asked)) is not None
    gate = SafetyGate(load_scorer(), precision="wide")
    assert not gate.admits(asked, kept, 0.9999)


@pytest.mark.parametrize(("asked", "kept"), HARMLESS)
def test_the_rules_let_the_same_question_through(asked: str, kept: str) -> None:
    assert refusal(parse(asked), parse(kept)) is None


def test_the_score_knows_a_paraphrase_from_a_neighbour() -> None:
    gate = SafetyGate(load_scorer())
    assert gate.admits("How do I learn to swim?", "How can I learn to swim?", 0.98)
    assert not gate.admits("How do I learn to swim?", "How do I teach my dog tricks?", 0.45)
    scorer = load_scorer()
    a, b = parse("How do I learn to swim?"), parse("How can I learn to swim?")
    assert scorer.score(a, b, 0.9) == pytest.approx(scorer.score(b, a, 0.9))


def test_a_gate_that_was_loaded_reads_no_file_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    word_vectors.cache_clear()
    gate = SafetyGate(load_scorer())

    def blocked(*_: object, **__: object) -> None:
        raise AssertionError("this would block the event loop")

    monkeypatch.setattr("builtins.open", blocked)
    monkeypatch.setattr("io.open", blocked)
    monkeypatch.setattr(np, "load", blocked)
    assert gate.admits("How do I learn to paint?", "How can I learn to paint?", 0.98)


def _toy(count: int) -> list[Pair]:
    rng = np.random.default_rng(1)
    verbs, nouns = ["cook", "paint", "repair", "sell"], ["rice", "walls", "bikes", "boats"]
    pairs = []
    for _ in range(count):
        verb, noun = rng.choice(verbs), rng.choice(nouns)
        same = bool(rng.random() < 0.5)
        other = noun if same else rng.choice([n for n in nouns if n != noun])
        cosine = float(np.clip(rng.normal(0.85, 0.08), -1, 1))  # says nothing
        pairs.append(Pair(f"How do I {verb} {noun}?", f"How to {verb} {other}?", cosine, same))
    return pairs


def test_calibration_finds_what_the_cosine_does_not_and_can_be_read_back(tmp_path: object) -> None:
    scorer = calibrate(_toy(150), Fit(trees=15), folds=3)
    assert scorer.measured["precision"]["0.6"] > 0.95
    assert scorer.measured["precision_by_cosine"]["0.6"] < 0.75
    path = tmp_path / "gate.json"  # type: ignore[operator]  # a Path
    path.write_text(scorer.dump())
    again = load_scorer(path)
    a, b = parse("How do I cook rice?"), parse("How to cook rice?")
    assert again.score(a, b, 0.8) == pytest.approx(scorer.score(a, b, 0.8), abs=1e-3)
    path.write_text('{"format": "other"}')
    with pytest.raises(InputError, match="calibrate"):
        load_scorer(path)


def test_pairs_of_another_kind_are_learned_from_and_not_measured() -> None:
    places = ["Rome", "Oslo", "Peru", "Chad", "Bonn", "Kyiv", "Nice", "Bern", "Lima", "York"]
    also = [
        Pair(f"Do you ship to {place}?", f"Do you deliver to {other}?", 0.85, place == other)
        for place in places
        for other in (place, places[0])
        if other != place or place != places[0]
    ] * 4
    how = Fit(trees=15)
    alone, both = (calibrate(_toy(150), how, folds=3, also=more) for more in ((), also))
    a, b = parse("Do you ship to Cork?"), parse("Do you deliver to Cork?")
    assert both.score(a, b, 0.85) > alone.score(a, b, 0.85)
    assert (both.measured["pairs"], both.measured["also"]) == (150, len(also))


def test_no_fold_is_judged_by_a_scorer_that_saw_one_of_its_questions() -> None:
    pairs = _toy(30)
    pairs += [
        Pair(f"{pair.a} ({n})", f"{pair.b} [{n}]", 0.9, pair.same)
        for n in range(3)
        for pair in pairs
    ]
    chained = [Pair(pairs[n].b, f"Another question {n}?", 0.7, False) for n in range(30, 100)]
    folds = list(held_out(pairs + chained, Fit(trees=2, forests=1), folds=3))
    everything = pairs + chained
    assert sorted(place for inside, _ in folds for place in inside) == list(range(len(everything)))
    asked = [
        {text for place in inside for text in (everything[place].a, everything[place].b)}
        for inside, _ in folds
    ]
    for one, texts in enumerate(asked):
        for other in asked[one + 1 :]:
            assert not texts & other
    scores = validated(everything, folds)
    assert scores.shape == (len(everything),)
    assert (scores <= 1).all()
