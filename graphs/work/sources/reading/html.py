"""The visible text of an HTML page: no scripts, comments, or what a style hides from people.

Rows of a table are lines, `| one | two |`, so that cells stay apart; a table that only arranges a
page (one cell a row, or long cells) is read as the text in it.
"""

import re
from collections import Counter
from html.parser import HTMLParser

_SILENT = {"script", "style", "noscript", "template", "svg", "head", "iframe", "object", "select"}
_BLOCKS = {
    *("p", "div", "section", "article", "main", "header", "footer", "li", "ul", "ol", "table"),
    *("tr", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "dt", "dd"),
}
_VOID = {
    *("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source"),
    *("track", "wbr"),
}
CELL, BREAK = "\x1f", "\x1e"
"""Stand for the begin of a cell, and for a new line within one, until the row is known."""
LONG_CELL = 400
"""Characters; a longer cell holds text, not a value."""
_HIDING = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?!\.?[1-9])|opacity\s*:\s*0(?![.\d])",
    re.IGNORECASE,
)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text: list[str] = []
        self.title: list[str] = []
        self._open: list[tuple[str, bool]] = []
        self._times: Counter[str] = Counter()
        self._in_title = False
        self._cells = 0

    def _new_line(self) -> str:
        return BREAK if self._cells else "\n"

    def _hidden(self) -> bool:
        return bool(self._open) and self._open[-1][1]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self._cells = 0  # a table in a cell: the outer one arranges the page
        if tag in _BLOCKS:
            self._cells = 0 if tag == "tr" else self._cells
            self.text.append(self._new_line())
        if tag == "title":
            self._in_title = True
        if tag in _VOID:
            return
        facts = {name: value or "" for name, value in attrs}
        hides = (
            tag in _SILENT
            or "hidden" in facts
            or facts.get("aria-hidden") == "true"
            or _HIDING.search(facts.get("style", "")) is not None
        )
        self._open.append((tag, hides or self._hidden()))
        self._times[tag] += 1
        if tag in ("td", "th") and not self._hidden():
            self._cells += 1
            self.text.append(CELL)

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        while self._times[tag]:
            name, _ = self._open.pop()
            self._times[name] -= 1
            if name == tag:
                break
        if tag in ("tr", "table"):
            self._cells = 0
        if tag in _BLOCKS:
            self.text.append(self._new_line())

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title.append(data)
        elif not self._hidden():
            self.text.append(
                (data.replace("\n", " ") if self._cells else data) if data.strip() else " "
            )


def visible_text(page: str) -> tuple[str, str]:
    """The title and the visible text of a page.

    Args:
        page: HTML; broken markup is fine.

    Returns:
        Title and text, paragraphs on lines of their own.
    """
    reader = _Reader()
    reader.feed(page)
    reader.close()
    text = "\n".join(map(_row, "".join(reader.text).split("\n")))
    lines = (re.sub(r"[ \t\f\v\u00a0]+", " ", line).strip() for line in text.split("\n"))
    return " ".join("".join(reader.title).split()), "\n".join(line for line in lines if line)


def _row(line: str) -> str:
    """A line with its cells apart."""
    before, *cells = line.split(CELL)
    if not cells:
        return line.replace(BREAK, "\n")
    if len(cells) == 1 or max(map(len, cells)) > LONG_CELL:
        return "\n".join([before, *cells]).replace(BREAK, "\n")
    shown = (" ".join(cell.replace(BREAK, " ").replace("|", "/").split()) for cell in cells)
    return f"{before.replace(BREAK, ' ')}\n| {' | '.join(shown)} |"
