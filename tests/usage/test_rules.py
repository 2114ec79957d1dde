"""Each rule on a synthetic ledger with a known answer, and its silence without enough data."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from allotrope.settings import load_settings
from allotrope.usage.advice.advice import advise
from allotrope.usage.advice.rules import RULES, Recommendation, RuleData, recommend
from allotrope.usage.ledger.ledger import Ledger
from allotrope.usage.prices.prices import PriceBook
from allotrope.usage.queries.sums import Window
from allotrope.usage.recorder.rows import CallRow, microseconds
from allotrope.usage.recorder.tokens import Tokens
from allotrope.usage.reports import render

END = datetime(2026, 11, 22, tzinfo=UTC)
START = END - timedelta(days=10)
Ask = Callable[..., list[Recommendation]]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(f"sqlite:///{tmp_path}/usage.db") as ledger:
        yield ledger


@pytest.fixture
def ask(ledger: Ledger) -> Ask:
    def asking(rule: str, rows: list[CallRow], **facts: Any) -> list[Recommendation]:
        ledger.write(rows)
        return RULES[rule](RuleData(ledger, Window(START, END), **facts))

    return asking


def calls(count: int, **values: Any) -> list[CallRow]:
    """Calls of o3 spread evenly over the ten days, the first at their very beginning."""
    step = timedelta(days=10) / count
    book = PriceBook()
    rows = []
    for number in range(count):
        facts = {key: value(number) if callable(value) else value for key, value in values.items()}
        at = facts.pop("at", START + number * step)
        base: dict[str, Any] = {
            "id": f"{facts.pop('id', 'c')}-{number}",
            "at": microseconds(at),
            "provider": "openai",
            "model": "o3",
            "agent": "assistant",
            "user_name": "ann",
            "input_tokens": 1000,
            "output_tokens": 100,
        } | facts
        tokens = Tokens(base["input_tokens"], base["output_tokens"], base.get("cached_tokens", 0))
        if not base.get("cached"):
            base.setdefault("cost", book.cost("openai", base["model"], tokens, at=END))
        rows.append(CallRow(**base))
    return rows


def test_repeated_prompts_without_a_cache(ask: Ask) -> None:
    (found,) = ask("repeated_prompts", calls(100, prompt_hash=lambda n: f"h{n % 50}"))
    assert found.numbers == {"agent": "assistant", "repeats": 50, "calls": 100}
    # 50 calls at 1000 × $2 + 100 × $8 per million in ten days, times three
    assert found.saving_usd_month == Decimal("0.4200")


def test_repeated_prompts_is_silent_with_hits_or_little_data(ask: Ask) -> None:
    assert ask("repeated_prompts", calls(40, prompt_hash="same")) == []
    hit = calls(1, id="hit", cached="exact")
    assert ask("repeated_prompts", calls(100, id="d", prompt_hash="same") + hit) == []


def test_volatile_prefix(ask: Ask) -> None:
    rows = calls(100, prefix_hash=lambda n: f"p{n}", input_tokens=2000, prompt="assistant@2")
    (found,) = ask("volatile_prefix", rows)
    assert "assistant@2" in found.setting
    # 99 × 1,024 tokens at $1.50 per million, times three
    assert found.saving_usd_month == Decimal("0.4562")


@pytest.mark.parametrize(
    "values",
    [
        {"prefix_hash": "same"},
        {"prefix_hash": lambda n: f"p{n}", "cached_tokens": 500},
        {"prefix_hash": ""},
    ],
    ids=["stable", "cached", "short"],
)
def test_volatile_prefix_is_silent(ask: Ask, values: dict[str, Any]) -> None:
    assert ask("volatile_prefix", calls(100, **values)) == []


def test_reasoning_heavy(ask: Ask) -> None:
    rows = calls(60, profile="deep", output_tokens=1000, reasoning_tokens=950)
    (found,) = ask("reasoning_heavy", rows)
    assert found.numbers["profile"] == "deep"
    # 60 × 950 / 2 tokens at $8 per million, times three
    assert found.saving_usd_month == Decimal("0.6840")
    assert ask("reasoning_heavy", calls(60, id="x", agent="b", reasoning_tokens=60)) == [found]


def test_output_limits_too_high_and_too_low(ask: Ask) -> None:
    high = calls(60, agent="a", output_limit=4000, output_tokens=100)
    low = calls(
        60,
        id="low",
        agent="b",
        output_limit=200,
        output_tokens=200,
        finish=lambda n: "length" if n % 2 else "stop",
    )
    fine = calls(60, id="fine", agent="c", output_limit=200, output_tokens=100)
    found = {one.numbers["agent"]: one for one in ask("output_limit", high + low + fine)}
    assert found.keys() == {"a", "b"}
    assert found["a"].title.startswith("Lower")
    assert found["a"].saving_usd_month == 0
    assert found["b"].title.startswith("Raise")
    assert found["b"].numbers["cut"] == 30


def test_cheaper_model_that_an_experiment_found_equal(ledger: Ledger, ask: Ask) -> None:
    facts: dict[str, Any] = {"agent": "assistant", "baseline_model": "o3", "samples": 200}
    ledger.record_finding("mini", model="o4-mini", equal=True, **facts)
    ledger.record_finding("nano", model="gpt-4.1-nano", equal=False, **facts)
    (found,) = ask("cheaper_model", calls(100, model="o3-2025-04-16"))
    assert found.numbers["model"] == "o4-mini"
    # per call $0.0028 against 1000 × $1.10 + 100 × $4.40 per million = $0.00154
    assert found.saving_usd_month == Decimal("0.3780")


def test_cheaper_model_is_silent_without_a_finding(ask: Ask) -> None:
    assert ask("cheaper_model", calls(100)) == []


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ([(0.89, True)] * 100 + [(0.95, True)] * 100, "too strict"),
        ([(0.95, False)] * 10 + [(0.95, True)] * 90, "too loose"),
        ([(0.89, False)] * 10 + [(0.89, True)] * 90, None),
        ([(0.89, True)] * 20, None),
    ],
    ids=["strict", "loose", "right", "little"],
)
def test_semantic_threshold(
    ledger: Ledger, ask: Ask, scores: list[tuple[float, bool]], said: str | None
) -> None:
    for number, (score, correct) in enumerate(scores):
        ledger.record_shadow(str(number), score, correct=correct, at=START + timedelta(hours=1))
    found = ask("semantic_threshold", calls(100))
    assert [said in one.title for one in found] == ([True] if said else [])
    if said == "too strict":
        assert found[0].saving_usd_month == Decimal("0.4200")  # half of 100 × $0.0028 × 3


def test_short_ttl(ask: Ask) -> None:
    # Each prompt comes twice, two hours apart, and the cache keeps answers for one hour.
    rows = calls(
        60,
        prompt_hash=lambda n: f"h{n // 2}",
        at=lambda n: START + timedelta(hours=5 * (n // 2) + 2 * (n % 2)),
    )
    hit = calls(1, id="hit", cached="exact")
    (found,) = ask("short_ttl", rows + hit, cache_ttl_s=3600)
    assert found.numbers["repeats"] == 30
    assert found.numbers["ttl_s"] == 7201
    assert ask("short_ttl", [], cache_ttl_s=86_400) == []
    own = {"assistant": 3600.0, "other": 60.0}
    assert ask("short_ttl", [], cache_ttl_s=86_400, ttl_by_agent=own) == [found]
    longer = {"assistant": 86_400.0}
    assert ask("short_ttl", [], cache_ttl_s=3600, ttl_by_agent=longer) == []


def test_unused_tools(ask: Ask) -> None:
    rows = calls(
        120,
        tools_offered="search,stocks,weather",
        tools_called=lambda n: "weather" if n == 5 else "search" if n == 6 else "",
        tools_tokens=300,
    )
    (found,) = ask("unused_tools", rows)
    assert found.numbers["tools"] == ["stocks"]
    # a third of 120 × 300 tokens at $2 per million, times three
    assert found.saving_usd_month == Decimal("0.0720")


def test_unused_tools_is_silent_with_little_data(ask: Ask) -> None:
    assert ask("unused_tools", calls(60, tools_offered="stocks", tools_tokens=100)) == []


def test_flex_tier(ask: Ask) -> None:
    (found,) = ask("flex_tier", calls(100, agent="nightly", user_name=""))
    assert found.numbers["agent"] == "nightly"
    assert found.saving_usd_month == Decimal("0.4200")  # half of 100 × $0.0028 × 3


@pytest.mark.parametrize(
    "values", [{"user_name": "ann"}, {"streamed": 1}, {"tier": "flex"}, {"model": "gpt-4o-mini"}]
)
def test_flex_tier_is_silent(ask: Ask, values: dict[str, Any]) -> None:
    assert ask("flex_tier", calls(100, **({"user_name": ""} | values))) == []


def test_an_empty_ledger_recommends_nothing(ledger: Ledger) -> None:
    assert recommend(RuleData(ledger, Window(START, END))) == []


def test_the_largest_saving_comes_first(ledger: Ledger) -> None:
    ledger.write(calls(100, user_name="", prompt_hash=lambda n: f"h{n % 50}"))
    ledger.write(calls(60, id="r", agent="b", output_tokens=9000, reasoning_tokens=8900))
    found = recommend(RuleData(ledger, Window(START, END)))
    savings = [one.saving_usd_month for one in found]
    assert savings == sorted(savings, reverse=True)
    assert found[0].rule == "reasoning_heavy"
    assert all(one.to_json()["setting"] for one in found)


def test_of_many_calls_the_latest_are_read_and_stand_for_all(ledger: Ledger) -> None:
    ledger.write(calls(400, user_name=""))
    whole = RuleData(ledger, Window(START, END))
    part = RuleData(ledger, Window(START, END), most_calls=100)
    assert (whole.sampled, part.sampled) == (False, True)
    (all_,), (some,) = RULES["flex_tier"](whole), RULES["flex_tier"](part)
    assert (all_.numbers["calls"], some.numbers["calls"]) == (400, 100)
    assert some.saving_usd_month == all_.saving_usd_month
    assert recommend(part)[0].evidence.endswith("Seen in the latest 100 calls.")


def test_advice_is_kept_for_an_hour_where_there_is_much_to_read(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    recent = calls(100, user_name="", at=lambda n: now - timedelta(minutes=n))
    ledger.write(recent)
    settings = load_settings(environ={}, env_file=None)
    fresh = advise(settings, ledger, now=now)
    assert [one.rule for one in fresh] == ["flex_tier"]
    assert ledger.note("advice") is None
    monkeypatch.setattr("allotrope.usage.advice.advice.FEW_CALLS", 50)
    kept = advise(settings, ledger, now=now)
    ledger.write(calls(200, id="more", user_name="", at=now))
    assert advise(settings, ledger, now=now + timedelta(minutes=59)) == kept
    later = advise(settings, ledger, now=now + timedelta(minutes=61))
    assert later[0].saving_usd_month > kept[0].saving_usd_month
    ledger.set_note("advice", "{}")  # of another version, or broken
    assert advise(settings, ledger, now=now) == later


def test_half_an_hour_of_calls_names_no_sum_a_month(ledger: Ledger) -> None:
    """An hour tells nothing about a month: so says the budgets' forecast, and so does advice."""
    now = datetime.now(UTC)
    ledger.write(calls(100, user_name="", at=lambda n: now - timedelta(seconds=18 * n)))
    window = Window(now - timedelta(days=30), now + timedelta(seconds=1))
    (found,) = recommend(RuleData(ledger, window))
    assert found.saving_usd_month == Decimal("0.1400")  # half of 100 × $0.0028: what was seen
    assert found.too_early
    assert found.to_json()["saving_usd_month"] is None
    assert found.to_json()["saving_usd_seen"] == "0.1400"
    assert Recommendation.from_json(found.to_json()) == found
    said = render.gain(found)
    assert said == "saves $0.1400 in the 30 minutes seen, too little time to speak of a month"
    # the same over ten days speaks of a month
    ledger.write(calls(100, id="old", user_name="", at=lambda n: now - timedelta(days=10)))
    (later,) = recommend(RuleData(ledger, window))
    assert not later.too_early
    assert render.gain(later) == "saves about $0.8400 a month"
    assert later.to_json()["saving_usd_month"] == "0.8400"


LITTLE: dict[str, dict[str, Any]] = {
    "cheaper_model": {},
    "flex_tier": {"user_name": ""},
    "output_limit": {"output_limit": 9_000},
    "reasoning_heavy": {"output_tokens": 1_000, "reasoning_tokens": 990},
    "repeated_prompts": {"prompt_hash": "same"},
    "semantic_threshold": {},
    "short_ttl": {"prompt_hash": lambda n: f"h{n // 2}"},
    "unused_tools": {"tools_offered": "stocks", "tools_tokens": 300},
    "volatile_prefix": {"prefix_hash": lambda n: f"p{n}", "input_tokens": 2_000},
}


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_silent_when_the_data_is_too_little(
    ledger: Ledger, ask: Ask, rule: str
) -> None:
    facts: dict[str, Any] = {"model": "o4-mini", "agent": "assistant", "baseline_model": "o3"}
    ledger.record_finding("tiny", equal=rule != "cheaper_model", samples=3, **facts)
    hits = calls(1, id="hit", cached="exact") if rule == "short_ttl" else []
    assert ask(rule, calls(19, **LITTLE[rule]) + hits, cache_ttl_s=6 * 3600) == []


def test_there_is_a_rule_for_every_file() -> None:
    import allotrope.usage.advice.rules as package

    files = {path.stem for path in Path(package.__file__).parent.glob("*.py")}
    assert files - {"__init__", "base", "registry"} == set(RULES)
