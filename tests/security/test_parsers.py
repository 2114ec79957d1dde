"""No parser of outside text that is written by hand is slow on a quarter of a megabyte of anything.

Each runs in a fork whose CPU seconds the kernel limits, as the expressions do.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
import expressions
from langchain_core.messages import HumanMessage
from allotrope.graphs import analyst, coder
from allotrope.graphs.steps import steps
from allotrope.graphs.work import answers, constraints
from allotrope.graphs.work.sources import citations, gathering, naming
from allotrope.graphs.work.tables.claims.judging import QueryFacts, judge, kept
from allotrope.memory.compression import compression, tidying
from allotrope.memory.recall import corrections, passages, sentences, words
from allotrope.memory.summary import statements, summary
from allotrope.models.cache.semantic import parse
from allotrope.models.failures import errors
from allotrope.models.waiting import provider_waits as waits
from allotrope.support import fencing
from allotrope.prompts import mustache
from allotrope.web.openai import housekeeping


def ignoring(function, *errors):
    def call(text):
        try:
            function(text)
        except errors:
            pass
    return call


parsers = {
    "analyst.files_in": analyst.files_in,
    "answers.code_blocks": answers.code_blocks,
    "answers.json_object": answers.json_object,
    "answers.listed": lambda text: answers.listed(text, most=5),
    "answers.sql_of": answers.sql_of,
    "citations.check": lambda text: citations.check(text, {1: "one two 3"}),
    "coder.files_of": coder.files_of,
    "compression.compress": lambda text: compression.compress(
        text, level=compression.Level.FOLDED),
    "constraints.read": constraints.read,
    "constraints.count": lambda text: [
        constraints.count(text, unit) for unit in ("words", "sentences", "paragraphs")],
    "corrections": corrections.is_correction,
    "corrections.corrected": lambda text: [
        corrections.corrected(f"Actually, {text}", text), corrections.corrected(text, text)],
    "errors.redact": errors.redact,
    "fencing.fence": lambda text: fencing.fence(text, name="x"),
    "gathering.sources_in": gathering.sources_in,
    "housekeeping.by_rule": housekeeping.by_rule,
    "mustache.uses": ignoring(mustache.uses, mustache.MustacheError),
    "naming.named_by_user": lambda text: [
        naming.named_by_user(text, [text]), naming.named_by_user("http://a.b", [text]),
        naming.named_by_user("a.csv", [text])],
    "claims.judge": lambda text: kept(text, judge(
        text, [QueryFacts(["a", "n"], [["x", 1], ["y", 2.5]], text)], question=text)),
    "claims.names": lambda text: judge(
        "It is 5 for x.", [QueryFacts([text, "n"], [[text, 1], ["y", 2.5]])]),
    "steps.harmless": steps.harmless,
    "tidying.without_filler": tidying.without_filler,
    "waits": waits._duration,
    "passages": lambda text: passages.excerpt(text, {"a": 1.0}, tokens=50, count=len),
    "sentences": lambda text: [sentences.sentences(text), sentences.tokens(text)],
    "statements": lambda text: [
        statements.is_instruction(text), statements.same_words(text, statements.Statement(text)),
        statements.SummarySource([statements.Statement(text)]).nearest(text)],
    "words": words.words,
}
print(json.dumps([len(parsers), expressions.slow_parsers(parsers, cpu_s=10)]))
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_parser_is_slow_on_any_text() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    number, slow = json.loads(done.stdout)
    assert number > 20
    assert slow == {}
