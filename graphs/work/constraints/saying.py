"""What was understood of a brief, for people; and how their answer corrects it."""

import re
from collections.abc import Sequence

from allotrope.graphs.work.constraints.kinds import Constraint, sentence
from allotrope.graphs.work.constraints.reading import Understood, understood

_YES = frozenset(("yes", "y", "ok", "okay", "ja", "sure", "go", "go ahead", "right", "correct"))
_DROP = re.compile(
    r"\b(?:drop|remove|delete|without|not|ignore|skip|weg|ohne)\s++(?:numbers?\s++|no\.\s*+)?"
    r"(\d{1,2}(?:\s*+(?:,|and|und)\s*+\d{1,2})*+)\s*+(?=$|[.;,!\n])",
    re.I,
)


def told(read: Understood) -> str:
    """What was read from a brief, what contradicts itself and what no program checks.

    Args:
        read: From `understood`.
    """
    parts = []
    if read.constraints:
        listed = (f"{n}. {sentence(one)}" for n, one in enumerate(read.constraints, 1))
        parts.append("Read from the brief, and checked by a program: " + " ".join(listed))
    else:
        parts.append("The brief has nothing that a program can check.")
    parts += rest_told(read)
    return "\n".join(parts)


def rest_told(read: Understood) -> list[str]:
    """What of a brief isn't checked, one line a reason."""
    parts = []
    if read.dropped:
        parts.append("Dropped, because they contradict each other: " + " ".join(read.dropped))
    if read.unread:
        listed = "; ".join(f"“{one}”" for one in read.unread)
        parts.append(f"Left to the writer's judgement, no program checks it: {listed}.")
    return parts


def corrected(read: Understood, answer: str) -> Understood:
    """What holds after a person said what is different.

    Args:
        read: What was understood of the brief.
        answer: `yes`, `drop 2`, or other wishes such as `at most 60 words`; they take the place of
            those they are about.
    """
    plain = answer.strip().strip(".!").lower()
    if plain in _YES or not plain:
        return read
    out: set[int] = set()
    for match in _DROP.finditer(answer):
        out |= {int(n) for n in re.findall(r"\d+", match[1])}
    kept = [one for n, one in enumerate(read.constraints, 1) if n not in out]
    more = understood(_DROP.sub(" ", answer))
    about = {_subject(one) for one in more.constraints}
    kept = [one for one in kept if _subject(one) not in about]
    unread = [*read.unread, *more.unread]
    dropped = [*read.dropped, *more.dropped]
    return Understood([*kept, *more.constraints], dropped, unread)


def _subject(one: Constraint) -> tuple[str, ...]:
    """What a constraint is about: another one about the same takes its place."""
    kind = one["kind"]
    if kind == "length":
        return ("length", one["unit"], str(one.get("per")))
    if kind in ("use", "avoid"):
        return ("word", str(one["value"]).lower())
    if kind in ("lowercase", "uppercase"):
        return ("case",)
    return (kind, str(one.get("per")))


def verdict(checked: Sequence[Constraint], wrong: Sequence[str], open_: Sequence[str]) -> str:
    """How a text was judged by the program, as a sentence.

    Args:
        checked: The constraints.
        wrong: What the text gets wrong.
        open_: Constraints that couldn't be checked.
    """
    if wrong:
        said = "Not everything holds: " + " ".join(wrong)
    elif len(checked) > len(open_):
        number = len(checked) - len(open_)
        holds = "constraint holds" if number == 1 else "constraints hold"
        said = f"{number} {holds} (counted by a program)."
    else:
        said = "The brief has nothing that a program can count."
    if open_:
        said += " Not checked, this language has no dictionary here: " + " ".join(open_)
    return said
