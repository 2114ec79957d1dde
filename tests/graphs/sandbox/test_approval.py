"""Only a clear yes runs code, only a clear no declines; everything else keeps waiting."""

import pytest

from allotrope.graphs.work.sandbox.approval import reading_of

ANSWERS = {
    "yes": ["yes", "Sure, go ahead", "no problem, run it", "👍", True, "ja", "of course"],
    "always": ["always", "yes, and don't ask again", "you don't need to ask every time"],
    "no": ["no", "Please don't.", "do not run this", "nein", False, "not a chance", "forget it"],
    "wait": ["not yet", "hold on", "let me read it first", "don't run it yet"],
    "question": [
        "what does it do?",
        "wait, what does it do?",
        "is it safe to run",
    ],
    "edit": [
        "use a dict instead",
        "no, use a dict instead",
        "looks good but rename foo",
        "yes, once you add a docstring",
        "can you handle None?",
        "why not a set?",
        "x" * 3000,
    ],
    "unclear": ["", "hmm", "maybe", "?!", "yes no", "zebra"],
}


@pytest.mark.parametrize(("means", "said"), [(m, s) for m, all in ANSWERS.items() for s in all])
def test_readings(means: str, said: object) -> None:
    assert reading_of(said) == means


NEITHER = [
    *("no loops please", "no idea", "mach es rekursiv", "tak, ale użyj zbioru", "yes, more tests"),
    *("nice code", "I can't say no", "not no", "nevermind that, hmm", "no class, just functions"),
    *("todavía no", "jeszcze nie", "ainda não", "go with a dict", "cancel the threads on exit"),
    *(
        "never return None",
        "はい、でも名前を変えて",
        "好的,但不要循环",
        "don't care",
        "deny empty input",
    ),
]


@pytest.mark.parametrize("said", NEITHER)
def test_what_is_neither_runs_nothing_and_declines_nothing(said: str) -> None:
    assert reading_of(said) not in ("yes", "always", "no")


@pytest.mark.parametrize(
    ("means", "said"),
    [
        ("yes", "да, запускай"),
        ("yes", "はい"),
        ("yes", "evet"),
        ("yes", "works for me"),
        ("no", "нет"),
        ("no", "不行"),
        ("no", "hayır"),
        ("no", "de ninguna manera"),
        ("wait", "待って"),
        ("wait", "pas encore"),
        ("wait", "подожди"),
    ],
)
def test_short_answers_in_other_languages(means: str, said: str) -> None:
    assert reading_of(said) == means
