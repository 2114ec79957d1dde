"""The assistant's tools on inputs as people type them: the right value, or a refusal that helps."""

import http.server
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from _truth_sets import lines, row

from allotrope.agents.tools.making import MAKERS
from allotrope.graphs.parts import named
from allotrope.settings import Settings, load_settings

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)


def run(quick: bool) -> list[dict[str, Any]]:
    """Plays the set.

    Args:
        quick: Only each fifth case.
    """
    found: dict[tuple[str, str], Counter[str]] = {}
    failures: dict[tuple[str, str], list[str]] = {}
    with tempfile.TemporaryDirectory() as folder, _page() as port:
        tools = _tools(Path(folder))
        for case in lines("assistant")[:: 5 if quick else 1]:
            kind = "a refusal is wanted" if "refuse" in case else "a value is wanted"
            if case.get("or_refused"):
                kind = "a value is wanted, or what to do"
            key = kind, "held out" if case["held_out"] else "open"
            outcome, text = _outcome(tools, case, port)
            found.setdefault(key, Counter())[outcome] += 1
            if outcome != "good":
                line = f"{outcome}: {case['tool']} {case['args']} → {text[:160]!r}"
                failures.setdefault(key, []).append(line)
    rows = []
    for (kind, part), counts in sorted(found.items(), reverse=True):
        refused = f"{counts['refused']} refused with what to do, {counts['bare']} without"
        for what, key, goal in ((f"{kind}, and comes", "good", "≥ 90 %"),
                                (f"{kind}, and it is silently wrong", "silent", "0")):  # fmt: skip
            rows.append(
                row("assistant", what, part, of=counts.total(), count=counts[key], goal=goal,
                    cost=refused if key == "good" else "",
                    failures=failures.get((kind, part), ()) if key == "good" else ())
            )  # fmt: skip
    return rows


def _outcome(tools: dict[str, Any], case: dict[str, Any], port: int) -> tuple[str, str]:
    """`good`, `refused` (with what to do), `bare` (a refusal without), or `silent`ly wrong.

    A case has the words of the answer (`has`, all of them, or `any`), or those of a refusal
    (`refuse`; without words, any that says what to do is good). Where it says `or_refused`, such a
    refusal is as good as the value.
    """
    tool = tools.get(case["tool"])
    if tool is None:
        return "bare", "there is no such tool"
    args = {name: value.replace("{port}", str(port)) for name, value in case["args"].items()}
    if case["tool"] == "read":
        args["messages"] = [_Said(f"Please read {args['source']} for me.")]
    message = tool.invoke({"type": "tool_call", "id": "1", "name": tool.name, "args": args})
    text = str(message.content)
    if message.status == "error":
        # A hint is a second sentence: what to do, after what was wrong.
        helps = text.count(". ") > 0 or ": " in text
        wanted = case.get("refuse", [] if case.get("or_refused") else None)
        if wanted is not None and all(word.lower() in text.lower() for word in wanted):
            return ("good" if wanted or helps else "bare"), text
        return ("refused" if helps else "bare"), text
    if "refuse" in case:
        return "silent", text
    found = (word.lower() in text.lower() for word in case.get("has", case.get("any")))
    good = all(found) if "has" in case else any(found)
    return ("good" if good else "silent"), text


class _Said:
    """A message of the user."""

    type = "human"

    def __init__(self, text: str) -> None:
        self.text = text


def _tools(folder: Path) -> dict[str, Any]:
    settings = load_settings(
        environ={},
        env_file=None,
        data_dir=folder / "data",
        agents={"file_roots": (folder,), "private_hosts": ("127.0.0.1", "localhost")},
    )
    _files(folder)
    made = [_made(maker, settings) for maker in MAKERS.values()]
    return {tool.name: tool for tool in made}


def _made(maker: str, settings: Settings) -> Any:
    function = named(maker)
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    names += function.__code__.co_varnames[function.__code__.co_argcount :][
        : function.__code__.co_kwonlyargcount
    ]
    given: dict[str, Any] = {"clock": lambda: NOW, "settings": settings}
    return function(**{name: given[name] for name in names if name in given})


def _files(folder: Path) -> None:
    from openpyxl import Workbook

    for name, rows in {
        "budget.xlsx": [("Item", "Euro"), ("Rent", 1200), ("Food", 410.5)],
        "staff.xlsx": [("Name", "Since"), ("Alice", datetime(2020, 3, 1)), ("Bob", None)],
    }.items():
        book = Workbook()
        for cells in rows:
            book.active.append(cells)
        book.save(folder / name)
    (folder / "notes").mkdir()
    (folder / "notes" / "plan.md").write_text("# Plan\nShip it.\n")
    (folder / "sales figures.csv").write_text("region,total\nNorth,5\n")
    (folder / "old.xls").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 500)
    (folder / "shop.sqlite").write_bytes(b"SQLite format 3\x00" + b"\x00" * 500)
    (folder / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\x00" * 200)
    (folder / "data.zip").write_bytes(b"PK\x03\x04" + b"\x00" * 200)
    (folder / "slides.pptx").write_bytes(b"PK\x03\x04" + b"\x00" * 200)


@contextmanager
def _page() -> Iterator[int]:
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that http.server calls
            body = b"<html><body><p>Opening hours: 9 to 5</p></body></html>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
