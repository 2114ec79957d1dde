"""The rules: what differs in a character, a small word or the material is another question."""

import pytest

from allotrope.models.cache.semantic.gate import SafetyGate
from allotrope.models.cache.semantic.rules.language import calibrated
from allotrope.models.cache.semantic.rules.material import asked
from allotrope.models.cache.semantic.rules.normal import normalised
from allotrope.models.cache.semantic.score import load_scorer

PASTED = (
    "The lease was drawn up by Nils Aho and signed by Carla Reyes on 4 May in Porto. The rent is "
    "paid on the first of each month. Either side may give notice of three months. Pets are not "
    "allowed, and the cellar belongs to the flat above. "
    "Repairs over 500 euros are paid by the owner."
)
DIFFERENT = [
    # symbols and numbers, by value and form
    ("What is 81 + 9?", "What is 81 / 9?"),
    ("Is -4 °C frost?", "Is 4 °C frost?"),
    ("Which rows have cost < 10?", "Which rows have cost > 10?"),
    ("What changed in version 2.20?", "What changed in version 2.2?"),
    ("What does code 0077 mean?", "What does code 77 mean?"),
    ("Is 2,5 km far?", "Is 25 km far?"),
    ("What is 7!", "What is 7?"),
    ("What is y³?", "What is y3?"),
    ("Which is larger, 3 - 8 or 2?", "Which is larger, 8 - 3 or 2?"),
    # case where it says something
    ("What does sort -r do?", "What does sort -R do?"),
    ("How fast is 10 Gb?", "How fast is 10 GB?"),
    ("Is March a march?", "Is march a March?"),
    ("What is k in physics?", "What is K in physics?"),
    # marks, emoji, ß
    ("What does señal mean?", "What does senal mean?"),
    ("What does 😀 mean?", "What does 😢 mean?"),
    ("Wie schreibt man Buße?", "Wie schreibt man Busse?"),
    ("เสือ แปลว่าอะไร", "เสื่อ แปลว่าอะไร"),
    ("पता क्या है?", "पिता क्या है?"),
    # code, quotes, what follows a colon
    ("Explain swap(x, y)", "Explain swap(y, x)"),
    ("What does list[2:] give?", "What does list[:2] give?"),
    ('How do you say "good morning" in Dutch?', 'How do you say "good evening" in Dutch?'),
    ("Translate into Danish: The shop is open.", "Translate into Danish: The shop is opening."),
    # order, only, persons, conditions
    ("Does my neighbour owe me rent?", "Do I owe my neighbour rent?"),
    ("Only Kim saw the film. Who lied?", "Kim saw only the film. Who lied?"),
    ("Who did Lena visit?", "Who visited Lena?"),
    ("Is every rose a flower?", "Is every flower a rose?"),
    ("Was the parcel sent to my sister?", "Was the parcel sent by my sister?"),
    ("Was she late because she was ill?", "Was she ill because she was late?"),
    ("Is the mushroom edible?", "Is the mushroom inedible?"),
    ("Should she thank him?", "Should he thank her?"),
    ("Is our flat larger than theirs?", "Is their flat larger than ours?"),
    ("Is my bike faster than yours?", "Is your bike faster than mine?"),
    ("Can I cancel within a week?", "Can I cancel after a week?"),
    ("Did they build it?", "Will they build it?"),
    # material hides the question, and the other way round
    (f"{PASTED}\n\nWho wrote it?", f"{PASTED}\n\nWho pays repairs?"),
    (f"Who wrote it?\n{PASTED}", f"Who signed it?\n{PASTED}"),
    (f"{PASTED}\n\nShorten it.", f"{PASTED.replace('three', 'two')}\n\nShorten it."),
    ("Is this right?\n```\na = 1\n```", "Is this right?\n```\na = 2\n```"),
]  # fmt: skip
EQUAL = [
    ("What  is the capital of Peru ?", "what is the capital of peru"),
    ("How much is 2,000 in words?", "How much is 2000 in words?"),
    ("What’s “TCP”?", 'What\'s "TCP"?'),
    ("What is the ﬁrst law?", "What is the first law?"),
    ("¿Dónde está mi paquete?", "dónde está mi paquete"),
    ("What is cafe\u0301 au lait?", "What is caf\u00e9 au lait?"),
    (f"{PASTED}\r\n\r\nWho wrote it?", f"{PASTED}\n\nwho wrote it"),
]


@pytest.fixture(scope="module")
def gate() -> SafetyGate:
    return SafetyGate(load_scorer(), precision="wide")


@pytest.mark.parametrize(("one", "two"), DIFFERENT)
def test_what_differs_in_meaning_is_refused_both_ways(gate: SafetyGate, one: str, two: str) -> None:
    assert not gate.admits(one, two, 0.9999)
    assert not gate.admits(two, one, 0.9999)


@pytest.mark.parametrize(("one", "two"), EQUAL)
def test_what_differs_in_typing_only_is_equal(gate: SafetyGate, one: str, two: str) -> None:
    for first, second in ((one, two), (two, one)):
        verdict = gate.judge(first, second, 0.0)
        assert verdict.admitted, verdict
        assert verdict.reason in ("equal", "score")


def test_languages_without_calibration_are_off_unless_a_verifier_decides() -> None:
    one, two = "Wie setze ich mein Passwort zurück?", "Wie kann ich mein Passwort zurücksetzen?"
    assert not calibrated(one)
    assert calibrated("how do i track my parcel")
    gate = SafetyGate(load_scorer(), precision="wide")
    assert gate.judge(one, two, 0.99).reason == "language"
    assert not gate.reads(one)
    verified = SafetyGate(load_scorer(), verified=True)
    assert verified.judge(one, two, 0.99).admitted
    assert not verified.judge(one, two, 0.6).admitted
    assert not verified.judge("Was sind 3 Mb?", "Was sind 3 MB?", 0.99).admitted


def test_question_and_material_are_told_apart() -> None:
    assert asked("Who wrote Emma?").question == "Who wrote Emma?"
    after = asked(f"{PASTED}\n\nWho wrote it?")
    assert (after.question, after.material) == ("Who wrote it?", PASTED)
    before = asked(f"Summarise this text:\n{PASTED}")
    assert (before.question, before.material) == ("Summarise this text:", PASTED)
    code = asked("What does it print?\n```\nprint(1)\n```")
    assert (code.question, code.lines) == ("What does it print?", ["```", "print(1)", "```"])
    assert asked(PASTED).question == ""


def test_normal_form_keeps_what_means_something() -> None:
    assert normalised(" a\u00a0b  c? ") == "a b c"
    assert normalised("x²") != normalised("x2")
    assert normalised("½") != normalised("1/2")
    assert normalised("ｆｕｌｌ") == "full"
    assert normalised("5!") == "5!"
    assert normalised("Hello!") == "Hello"
