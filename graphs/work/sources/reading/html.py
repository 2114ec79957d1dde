"""The visible text of an HTML page: no scripts, comments, or what a style hides from people."""

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

    def _hidden(self) -> bool:
        return bool(self._open) and self._open[-1][1]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _BLOCKS:
            self.text.append("\n")
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

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        while self._times[tag]:
            name, _ = self._open.pop()
            self._times[name] -= 1
            if name == tag:
                break
        if tag in _BLOCKS:
            self.text.append("\n")

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title.append(data)
        elif not self._hidden():
            self.text.append(data if data.strip() else " ")


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
    lines = (
        re.sub(r"[ \t\f\v\u00a0]+", " ", line).strip() for line in "".join(reader.text).split("\n")
    )
    return " ".join("".join(reader.title).split()), "\n".join(line for line in lines if line)
