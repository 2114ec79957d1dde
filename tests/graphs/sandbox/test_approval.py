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
