"""The checks of `benchmarks/audit.py` find what they are for; its plan follows from the seed."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest


@pytest.fixture(scope="module")
def books() -> Iterator[Any]:
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    import _audit_books
    import _audit_facts

    yield SimpleNamespace(**vars(_audit_facts), violations=_audit_books.violations)
    sys.path.pop(0)


@pytest.fixture
def good(books: Any) -> Any:
    """A small run in which nothing is wrong: a question, its answer, the call, a refused call."""
    heard = books.Heard(
        token="q1-0", thread="acme-1", tenant="acme", door="worker0", way="aask",
        ended="answered", answer="<q1-0 n1002> Blue.", at=100.0, took_s=1.0,
    )  # fmt: skip
    asked = books.Asked(
        provider="openai", number=1, account="key0", at=100.2, ended=100.8, counted=True,
        input_tokens=50, output_tokens=1002, prompt="[q1-0] acme-word-7391", questions=("q1-0",),
    )  # fmt: skip
    row = books.Booked(
        id="a", at=100.1, ended=100.9, tenant="acme", thread="acme-1", provider="openai",
        status="ok", error="", cached="", estimated=False, input_tokens=50, output_tokens=1002,
    )  # fmt: skip
    spent = replace(
        row, id="b", tenant="initech", thread="initech-1", at=90.0, ended=91.0, cached="",
        estimated=True, status="aborted", input_tokens=900, output_tokens=50,
    )  # fmt: skip
    refused = replace(spent, id="c", at=95.0, ended=95.0, status="refused", input_tokens=0)
    refused = replace(refused, output_tokens=0)
    thread = books.Thread("acme", "acme-1", (("human", "[q1-0] x"), ("ai", "<q1-0 n1002> Blue.")))
    return books.Facts(
        heard=(heard,), asked=(asked,), booked=(row, spent, refused), threads=(thread,), limit=1000
    )


def found(books: Any, facts: Any) -> set[str]:
    return {name for name, said in books.violations(facts).items() if said}


def test_nothing_is_found_where_nothing_is_wrong(books: Any, good: Any) -> None:
    assert found(books, good) == set()


def test_a_question_that_is_missing_or_doubled_is_found(books: Any, good: Any) -> None:
    (thread,), (heard,) = good.threads, good.heard
    missing = replace(good, threads=(replace(thread, messages=()),))
    assert found(books, missing) == {"once"}
    died = replace(missing, heard=(replace(heard, ended="died", answer=""),))
    assert found(books, died) == {"once"}, "a provider was asked with it"
    unasked = replace(died, asked=(), booked=good.booked[1:])
    assert found(books, unasked) == set(), "nobody had taken it"
    doubled = (thread.messages[0], *thread.messages)
    assert found(books, replace(good, threads=(replace(thread, messages=doubled),))) == {"once"}
    again = (*thread.messages, *thread.messages)
    assert found(books, replace(good, threads=(replace(thread, messages=again),))) == set()
    strange = (*thread.messages, ("human", "[q9-9] y"))
    assert found(books, replace(good, threads=(replace(thread, messages=strange),))) == {"once"}


def test_the_answer_to_another_question_is_found(books: Any, good: Any) -> None:
    (thread,), (heard,) = good.threads, good.heard
    wrong = replace(heard, answer="<q2-0 n1004> Blue.")
    assert found(books, replace(good, heard=(wrong,))) == {"answers"}
    behind = (*thread.messages[:1], ("ai", "<q2-0 n1004> Blue."))
    assert found(books, replace(good, threads=(replace(thread, messages=behind),))) == {"answers"}


def test_what_crosses_a_tenant_is_found(books: Any, good: Any) -> None:
    (asked,), (heard,), row = good.asked, good.heard, good.booked[0]
    prompt = replace(asked, prompt="acme-word-7391 globex-word-2864")
    assert found(books, replace(good, asked=(prompt,))) == {"tenants"}
    assert found(books, replace(good, searches=(("globex", "acme-word-7391"),))) == {"tenants"}
    elsewhere = replace(row, tenant="globex")
    assert found(books, replace(good, booked=(elsewhere, *good.booked[1:]))) == {"tenants"}
    shared = replace(heard, token="shared-1", answer="<shared-1 n1006> Blue.")
    thread = books.Thread("globex", "globex-2", (("human", "[shared-1] x"),))
    hit = replace(shared, tenant="globex", thread="globex-2")
    both = replace(good, heard=(heard, hit, replace(shared, thread="acme-3")))
    mine = books.Thread("acme", "acme-3", (("human", "[shared-1] x"),))
    assert found(books, replace(both, threads=(*good.threads, thread, mine))) == {"tenants"}


def test_a_ledger_that_differs_is_found_and_a_killed_second_forgiven(books: Any, good: Any) -> None:
    row, *others = good.booked
    assert found(books, replace(good, booked=others)) == {"ledger"}
    assert found(books, replace(good, booked=(row, row, *others))) == {"ledger"}
    cheaper = replace(row, input_tokens=1)
    assert found(books, replace(good, booked=(cheaper, *others))) == {"ledger"}
    invented = replace(row, id="d", output_tokens=4711)
    assert found(books, replace(good, booked=(row, invented, *others))) == {"ledger"}
    for at, account, wanted in ((101.9, "key0", set()), (102.1, "key0", {"ledger"})):
        kill = books.Span("kill worker", at, at, account)
        assert found(books, replace(good, booked=others, spans=(kill,))) == wanted
    busy = books.Span(books.BUSY, 101.2, 101.4)  # the machine gave 0.2 s to others
    for at, wanted in ((102.1, set()), (102.3, {"ledger"})):
        kill = books.Span("kill worker", at, at, "key0")
        assert found(books, replace(good, booked=others, spans=(kill, busy))) == wanted
    other = books.Span("kill worker", 101.5, 101.5, "key1")
    assert found(books, replace(good, booked=others, spans=(other,))) == {"ledger"}
    left = replace(row, id="e", status="aborted", estimated=True, output_tokens=3)
    assert found(books, replace(good, booked=(left, *others))) == set()


def test_a_budget_that_does_not_hold_is_found(books: Any, good: Any) -> None:
    row, spent, refused = good.booked
    late = replace(spent, id="f", at=99.0, ended=99.5, input_tokens=60)
    over = replace(spent, id="g", at=91.0, ended=92.0, input_tokens=60)
    assert found(books, replace(good, booked=(row, spent, over, refused))) == {"budgets"}
    assert found(books, replace(good, booked=(row, spent, over, late, refused))) == {"budgets"}
    assert found(books, replace(good, booked=(row, spent))) == {"budgets"}, "it was never reached"
    away = books.Span("pause redis", 90.5, 91.5)
    alone = replace(good, booked=(row, spent, over, refused), spans=(away,))
    assert found(books, alone) == set(), "neither process knew what the other had reserved"
    assert found(books, replace(alone, booked=(*alone.booked, late))) == {"budgets"}
    still = books.Span("pause redis", 90.5, 99.5)
    late_alone = replace(alone, booked=(*alone.booked, late), spans=(still,))
    assert found(books, late_alone) == {"budgets"}, "it knew what was spent"


def test_keys_and_turns_without_an_end_are_found(books: Any, good: Any) -> None:
    assert found(books, replace(good, keys=("data/usage.db",))) == {"keys"}
    assert found(books, replace(good, ends=("worker0 doesn't end",))) == {"ends"}
    (heard,) = good.heard
    hung = replace(heard, ended="hung", answer="")
    unclear = replace(heard, ended="error", answer="", error="KeyError: 1", clear=False)
    assert found(books, replace(good, heard=(hung,))) == {"ends"}
    assert found(books, replace(good, heard=(unclear,))) == {"ends"}


def test_a_seed_gives_the_same_plan(books: Any) -> None:
    from _audit_plan import make_plan  # type: ignore[import-not-found]

    one = make_plan(7, "postgres", conversations=200)
    assert one == make_plan(7, "postgres", conversations=200)
    assert one != make_plan(8, "postgres", conversations=200)
    doors = {question.door for talk in one.conversations for question in talk.questions}
    assert doors == {"worker0", "worker1", "serve-acme", "serve-globex"}
    assert {"kill worker", "restart postgres"} <= {trouble.kind for trouble in one.troubles}


def test_a_planted_key_is_found_in_files(books: Any, tmp_path: Path) -> None:
    import _audit_reading as reading  # type: ignore[import-not-found]

    stage = SimpleNamespace(
        folder=tmp_path, postgres=None, canary="canary0123456789", password="pwcanary99"
    )
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "usage.db").write_bytes(b"\0" * 5_000_000 + b"sk-canary0123456789-worker0")
    (tmp_path / "serve.log").write_text("nothing")
    assert list(reading._in_files(stage)) == ["data/usage.db"]
    (tmp_path / "serve.log").write_text("postgresql://allotrope:pwcanary99@127.0.0.1")
    assert sorted(reading._in_files(stage)) == ["data/usage.db", "serve.log"]
