"""One form for texts that a model reads the same: composed letters, line ends, blanks in prose."""

import re
import unicodedata

_FENCE = re.compile(r"^\s*(?:```|~~~)")
_RUNS = re.compile(r"(?<=\S)[ \t]{2,}(?=\S)")
_LITERAL = re.compile(r"[`\"'|\t<>{}=;]")
"""Marks of a line in which blanks may count: code, a table, something quoted."""


def same_writing(text: str) -> str:
    """The text composed (NFC), with `\\n` at line ends and single blanks within lines of prose.

    Code keeps its blanks: fenced blocks, indented lines, lines with quotes or marks of code.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "  " not in text and "\t" not in text and " \n" not in text and text.strip() == text:
        return text
    fenced = False
    lines = []
    for line in text.split("\n"):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            line = line.rstrip()
            if not line.startswith((" ", "\t")) and not _LITERAL.search(line):
                line = _RUNS.sub(" ", line)
        lines.append(line)
    whole = "\n".join(lines)
    return (
        whole if fenced else whole.strip("\n").rstrip(" ").lstrip(" ") if _prose(whole) else whole
    )


def _prose(text: str) -> bool:
    """Whether the text's first line isn't indented on purpose, as code is."""
    return not (text.startswith((" ", "\t")) and "\n" in text.strip("\n"))
