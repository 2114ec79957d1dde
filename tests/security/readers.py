"""What reads outside text in the server's process, by name: users' words, models' answers, headers.

The same table is tried with long texts (`test_parsers.py`), with texts at random
(`test_outside_input.py`) and by libFuzzer (`tests/fuzz_readers.py`). A reader gives something, or
refuses in our own words (`AllotropeError`, pydantic's `ValidationError`); nothing else comes out.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime
from http.cookies import CookieError
from typing import Any
from urllib.parse import parse_qsl

from langchain_core.messages import HumanMessage
from pydantic import ValidationError
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from allotrope.agents.tools import clock, dates, units, zones
from allotrope.agents.tools.arithmetic import evaluate
from allotrope.agents.turns.text import check_text, check_thread_id
from allotrope.exceptions import AllotropeError
from allotrope.experiments.offline import judge, text_scorers
from allotrope.graphs import analyst
from allotrope.graphs.steps import steps
from allotrope.graphs.work import answers
from allotrope.graphs.work.coding import replies, report
from allotrope.graphs.work.constraints import checking, counting, reading, saying, sounds
from allotrope.graphs.work.sandbox import approval
from allotrope.graphs.work.sources import citations, disagreement, gathering, index, naming
from allotrope.graphs.work.sources.reading import web
from allotrope.graphs.work.tables.claims.judging import QueryFacts, kept
from allotrope.graphs.work.tables.claims.judging import judge as judged
from allotrope.graphs.work.tables.naming import is_courtesy
from allotrope.memory.compression import compression, json_text, tidying
from allotrope.memory.recall import corrections, passages, sentences, words
from allotrope.memory.recall import dates as recalled_dates
from allotrope.memory.summary import statements, summary
from allotrope.models.cache import policy
from allotrope.models.cache.semantic.differences import differences
from allotrope.models.cache.semantic.parse import parse
from allotrope.models.cache.semantic.rules import language, literal, material
from allotrope.models.cache.semantic.tier import MAX_QUESTION
from allotrope.models.failures import errors
from allotrope.models.waiting import provider_waits
from allotrope.prompts import mustache
from allotrope.settings import Settings
from allotrope.settings.cache import CacheSettings
from allotrope.support import fencing
from allotrope.usage.budgets.periods import allowance
from allotrope.web.access import access
from allotrope.web.access.credentials import Credentials
from allotrope.web.access.proxies import Proxies
from allotrope.web.chat.api import TurnRequest
from allotrope.web.dashboard.filters import read_view
from allotrope.web.errors import RequestError
from allotrope.web.openai import api, housekeeping
from allotrope.web.openai.request import read_request

Read = Callable[[str], object]

REFUSALS = (AllotropeError, RequestError, ValidationError, mustache.MustacheError, CookieError)
"""What a reader may raise."""

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
PASSAGE = 1_200
"""Characters of a passage of a source (`research_chunk_chars`)."""


def outcome(read: Read, text: str) -> None:
    """Reads a text; a refusal is fine.

    Args:
        read: One of `readers()`.
        text: What comes from outside.
    """
    try:
        read(text)
    except REFUSALS as exc:
        str(exc)


def readers() -> dict[str, Read]:
    """All of them, by name."""
    return {**_words_of_users(), **_answers_of_models(), **_conversations(), **_the_door()}


def _words_of_users() -> dict[str, Read]:
    return {
        "analyst.files_in": analyst.files_in,
        "approval": approval.reading_of,
        "arithmetic": evaluate,
        "clock.convert": lambda text: clock.convert(text, "Oslo", text, now=NOW),
        "dates.add": lambda text: dates.add(date(2026, 12, 1), text),
        "dates.read_moment": lambda text: dates.read_moment(text, today=date(2026, 12, 1)),
        "gathering.sources_in": gathering.sources_in,
        "index.search": lambda text: index.search(
            [index.Passage("a", "1", text[:PASSAGE])], text, most=3
        ),
        "is_courtesy": is_courtesy,
        "constraints.read": _constraints,
        "constraints.count": lambda text: [
            counting.count(text, unit) for unit in ("words", "sentences", "paragraphs", "emojis")
        ],
        "naming.named_by_user": lambda text: [
            naming.named_by_user(text, [text]),
            naming.named_by_user("http://a.b", [text]),
            naming.named_by_user("a.csv", [text]),
        ],
        "units.convert": lambda text: [units.convert(text, "km"), units.convert("3 m", text)],
        "web.onward": lambda text: web._onward("http://a.b", "http://a.b/c", text),
        "zones.look_up": lambda text: zones.look_up(text, at=NOW),
    }


def _constraints(text: str) -> None:
    found = reading.understood(text)
    saying.told(found)
    checking.broken(text[:5_000], found.constraints)
    saying.corrected(found, text)


def _answers_of_models() -> dict[str, Read]:
    return {
        "answers.code_blocks": answers.code_blocks,
        "answers.json_object": answers.json_object,
        "answers.listed": lambda text: answers.listed(text, most=5),
        "answers.sql_of": answers.sql_of,
        "citations.check": lambda text: citations.marked(
            citations.check(text, {1: "One two 3 rose, and nobody fell.", 2: text[:PASSAGE]})
        ),
        "citations.denied": citations.denied,
        "citations.passage": lambda text: citations.check(
            "Prices rose by 3 % in May 2020, and Oslo fell [1, 2].",
            {1: text[:PASSAGE], 2: text[-PASSAGE:]},
        ),
        "claims.judge": lambda text: kept(
            text,
            judged(text, [QueryFacts(["a", "n"], [["x", 1], ["y", 2.5]], text)], question=text),
        ),
        "claims.names": lambda text: judged(
            "It is 5 for x.", [QueryFacts([text, "n"], [[text, 1], ["y", 2.5]])]
        ),
        "disagreements": lambda text: disagreement.disagreements(
            {
                1: {"source": "a", "text": text[:PASSAGE]},
                2: {"source": "b", "text": text[-PASSAGE:]},
            }
        ),
        "judge.parse_verdict": judge.parse_verdict,
        "replies.files_of": replies.files_of,
        "report.packages_missing": lambda text: report.packages_missing(text, ["a.py"], ["numpy"]),
        "sounds": _sounds,
        "steps.harmless": steps.harmless,
        "text_scorers.number_in": text_scorers.number_in,
    }


def _sounds(text: str) -> None:
    short = text[:5_000]
    for measure in (sounds.syllables, sounds.grade, sounds.ease, sounds.language_of):
        measure(short)
    sounds.rhyme_trouble(short, "ABAB")


def _conversations() -> dict[str, Read]:
    return {
        "compression": lambda text: [
            compression.compress(text, level=level) for level in compression.Level
        ],
        "corrections": lambda text: [
            corrections.is_correction(text),
            corrections.corrected(f"Actually, {text}", text),
            corrections.corrected(text, text),
        ],
        "errors.redact": errors.redact,
        "fencing": lambda text: [fencing.fence(text, name="x", source=text), fencing.visible(text)],
        "json_text": lambda text: [
            (json_text.minified(text), json_text.sampled(text), json_text.records(text, longest=99))
            for _ in range(json_text.is_json(text))
        ],
        "mustache.uses": mustache.uses,
        "passages": lambda text: passages.excerpt(text, {"a": 1.0}, tokens=50, count=len),
        "recall.dates": lambda text: [
            recalled_dates.spans(text, years=[2025, 2026]),
            recalled_dates.asks_when(text),
            recalled_dates.speaks_of_time(text),
        ],
        "semantic": lambda text: _semantic(text[:MAX_QUESTION]),
        "semantic.material": material.asked,
        "sentences": lambda text: [sentences.sentences(text), sentences.tokens(text)],
        "statements": lambda text: [
            statements.is_instruction(text),
            statements.same_words(text, statements.Statement(text)),
            statements.SummarySource([statements.Statement(text)]).nearest(text),
        ],
        "summary": lambda text: [summary.parse(text), summary.details(text)],
        "tidying.without_filler": tidying.without_filler,
        "time_dependent": lambda text: policy.time_dependent([HumanMessage(text)]),
        "waits": lambda text: (
            [
                provider_waits.retry_after({name: text}, now_s=0.0, limited=True)
                for name in ("retry-after", "retry-after-ms")
            ]
            + [provider_waits._duration(text)]
        ),
        "words": lambda text: [words.words(text), words.as_written(text)],
    }


def _semantic(text: str) -> None:
    half = len(text) // 2
    one, two = text[:half], text[half:]
    language.calibrated(text)
    literal.literal_difference(one, two)
    literal.same_writing(one, two)
    differences(parse(one), parse(two))


def _the_door() -> dict[str, Read]:
    secret = {"serve": {"token": "t" * 20}, "openai": {"api_key": None}}
    trusted = Proxies(["127.0.0.1"])
    return {
        "allowance": allowance,
        "body": lambda text: read_request(api._parsed(_bytes(text))).conversation(),
        "body of the page": lambda text: TurnRequest.model_validate(api._parsed(_bytes(text))),
        "cache directives": lambda text: policy.request_of(
            {policy.DIRECTIVES: text}, tenant="", settings=CacheSettings()
        ),
        "check_text": check_text,
        "check_thread_id": check_thread_id,
        "credentials": lambda text: asyncio.run(
            Credentials(Settings.model_validate(secret)).principal(_shows(text), "192.0.2.1")
        ),
        "dashboard": lambda text: read_view(dict(parse_qsl(text)), now=NOW),
        "housekeeping": housekeeping.by_rule,
        "names and origins": lambda text: [
            access.is_known_host(_headers(host=text), {"a.b"}),
            access.is_same_origin(_headers(host="a.b", origin=text)),
            access.local_path(text),
        ],
        "proxies": lambda text: trusted.seen(
            {
                "type": "http",
                "client": ("127.0.0.1", 1),
                "headers": [
                    (b"x-forwarded-for", _latin(text)),
                    (b"x-forwarded-proto", _latin(text)),
                ],
            }
        ),
    }


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _latin(text: str) -> bytes:
    return text.encode("latin-1", "replace")


def _headers(**shown: str) -> Headers:
    return Headers(raw=[(name.encode(), _latin(text)) for name, text in shown.items()])


def _shows(text: str) -> HTTPConnection:
    """A request with a text as bearer token and as cookie."""
    scope: dict[str, Any] = {
        "type": "http",
        "headers": [
            (b"authorization", b"Bearer " + _latin(text)),
            (b"cookie", b"allotrope_session=" + _latin(text)),
        ],
    }
    return HTTPConnection(scope)
