"""The researcher's report: passages numbered once, notes with those numbers, sentences marked."""

import re
from collections.abc import Mapping
from typing import Any

from allotrope.graphs.work.sources import citations
from allotrope.graphs.work.sources.disagreement import disagreements

_NOTE = re.compile(r"^\W*((?:\[\d{1,2}\]\s*)+)(.+)$")


def report_text(state: Mapping[str, Any]) -> str:
    """The report as it is shown: marked where it isn't verified, with its sources.

    Args:
        state: The researcher's.
    """
    if state["trouble"]:
        return str(state["trouble"])
    passages = numbered(state)
    unread = "\n".join(f"Not read: {problem}" for problem in state["problems"])
    if not passages:
        nothing = "Nothing in the sources answers the question. Read: " + ", ".join(state["read"])
        return f"{nothing}\n{unread}".strip()
    if state["draft"]:
        lines = citations.check(state["draft"], {n: p["text"] for n, p in passages.items()})
        lines = citations.doubted(lines, state.get("doubts") or [])
        text = citations.marked(lines)
        used = {mark for line in lines for one in line for mark in one.marks}
        bad = sum(one.problem is not None for line in lines for one in line)
    else:
        text, used, bad = "The model wrote no report. These passages fit best:", set(passages), 0
    cited = [
        f"[{number}] {one['source']}, {one['place']}"
        for number, one in passages.items()
        if number in used
    ]
    parts = [text]
    if cited:
        parts.append("Sources:\n" + "\n".join(cited))
    else:
        found = [f"{one['source']}, {one['place']}" for one in passages.values()]
        parts.append("No source is cited. Passages that were found:\n" + "\n".join(found))
    if differ := disagreements(passages):
        parts.append("Sources disagree:\n" + "\n".join(differ))
    if bad:
        one = "1 sentence is" if bad == 1 else f"{bad} sentences are"
        parts.append(f"{one} marked [unverified]: no cited passage holds what it says.")
    if unread:
        parts.append(unread)
    return "\n\n".join(parts)


def numbered(state: Mapping[str, Any]) -> dict[int, dict[str, str]]:
    """The passages of all notes with their numbers in the report; the same passage has one.

    Args:
        state: The researcher's.
    """
    numbers: dict[int, dict[str, str]] = {}
    for note in state["notes"]:
        for passage in note["passages"]:
            if passage not in numbers.values():
                numbers[len(numbers) + 1] = passage
    return numbers


def notes_text(state: Mapping[str, Any]) -> str:
    """The notes with the numbers of the report; a note without a passage is left out.

    Args:
        state: The researcher's.
    """
    passages = numbered(state)
    blocks = []
    for note in state["notes"]:
        own = note["passages"]
        lines = []
        for line in note["text"].split("\n"):
            match = _NOTE.match(line.strip())
            if not match:
                continue
            marks = [int(n) for n in re.findall(r"\d+", match[1]) if 0 < int(n) <= len(own)]
            outer = [n for n, p in passages.items() if any(p == own[m - 1] for m in marks)]
            if outer:
                lines.append("".join(f"[{n}]" for n in outer) + f" {match[2]}")
        if not lines and own:  # no usable notes: the passages themselves
            for number, passage in passages.items():
                if passage in own:
                    lines.append(f"[{number}] {' '.join(passage['text'].split())}")
        if lines:
            blocks.append(f"{note['question']}\n" + "\n".join(lines))
    return "\n\n".join(blocks)
