"""Compression by level: what it never touches, and that it says what it left out."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allotrope.memory.compression.compression import Level, compress, compress_tool_output
from allotrope.memory.context.fit import fit
from allotrope.memory.tokens.counting import TokenCounter

COUNTER = TokenCounter()
LEVELS = list(Level)
CODE = st.text(alphabet="abc <>|,=0123456789\n\t", min_size=1, max_size=120)
KEPT = st.sampled_from(
    [
        "3.1400",
        "1.10",
        "-0",
        "00420",
        "12345678901234567890",
        "1e-09",
        "1,234.50",
        "https://example.org/a?b=1&c=2#x",
        '"as   she\tsaid it"',
        "`x  =  y`",
        "“wide   blanks”",
        "Ørsted",
        "O'Neill",
        "Map<String>",
        "<td colspan=2>",
    ]
)
NUMBERS = st.sampled_from(["1.10", "-0", "0.0", "1e400", "12345678901234567890", "1.0E+2", "7"])
STRINGS = st.text(max_size=12).map(json.dumps) | st.sampled_from(
    [
        '"caf\\u00e9"',
        '"a\\/b"',
        '"https://example.org/?q=1.10"',
        '"  two  blanks "',
        '"\\"[1, 2]\\""',
    ]
)
BLANKS = st.text(alphabet=" \n\t\r", max_size=3)


def json_texts(children: Any) -> Any:
    """Arrays and objects as text, keys may come twice, blanks anywhere."""
    parts = st.lists(st.tuples(st.sampled_from(["id", "id", "name"]), children, BLANKS), max_size=9)
    return st.one_of(
        parts.map(lambda ps: "[" + ",".join(f"{b}{v}{b}" for _, v, b in ps) + "]"),
        parts.map(lambda ps: "{" + ",".join(f'{b}"{k}"{b}:{b}{v}' for k, v, b in ps) + "}"),
    )


JSON = st.recursive(NUMBERS | STRINGS | st.just("null"), json_texts, max_leaves=25).filter(
    lambda text: text[0] in "[{"
)


def structure(text: str) -> Any:
    """JSON with numbers as they were written and every pair of an object."""
    return json.loads(
        text,
        parse_float=lambda raw: ("number", raw),
        parse_int=lambda raw: ("number", raw),
        object_pairs_hook=lambda pairs: ("object", pairs),
    )


@given(JSON)
@settings(max_examples=80)
def test_light_json_changes_blanks_and_nothing_else(text: str) -> None:
    light = compress(text, level=Level.LIGHT)
    assert light.kind == "json"
    assert light.reversible
    assert structure(light.text) == structure(text)
    assert len(light.text) <= len(text)


@pytest.mark.parametrize("level", LEVELS)
@given(JSON)
@settings(max_examples=40)
def test_json_that_says_it_is_reversible_is(level: Level, text: str) -> None:
    shorter = compress(text, level=level)
    assert (structure(shorter.text) == structure(text)) == shorter.reversible


def test_numbers_and_doubled_keys_stay_as_written() -> None:
    text = '{"price": 1.10, "price": 2.50,\n "id": 12345678901234567890, "n": "caf\\u00e9"}'
    for level in LEVELS:
        assert (
            compress(text, level=level).text
            == '{"price":1.10,"price":2.50,"id":12345678901234567890,"n":"caf\\u00e9"}'
        )


def test_sampled_json_cuts_no_number_or_link_in_two() -> None:
    link = "https://example.org/" + "a" * 300
    long = "x" * 150 + " 123456789012345678901234567890 and more words " * 4
    rows = ",".join(f'{{"n": {n}.50}}' for n in range(40))
    shorter = compress(f'{{"link":"{link}","long":"{long}","rows":[{rows}]}}', level=Level.FOLDED)
    assert link in shorter.text
    assert "1234567890 " not in shorter.text.split("characters more")[0]
    assert '{"n":0.50},{"n":1.50},{"n":2.50},"… 36 more …",{"n":39.50}' in shorter.text
    assert not shorter.reversible


def test_json_nested_too_deep_is_text() -> None:
    deep = "[" * 100_000 + "]" * 100_000
    assert compress(deep, level=Level.FOLDED).text == deep


@pytest.mark.parametrize("level", LEVELS)
@given(code=CODE, around=st.text(alphabet="xy \n", max_size=60))
@settings(max_examples=40)
def test_code_blocks_are_kept_to_the_letter(level: Level, code: str, around: str) -> None:
    block = f"```\n{code}\n```"
    assert block in compress(f"Around {around}\n{block}\n{around} end", level=level).text


@given(st.lists(st.tuples(KEPT, st.sampled_from([" ", "     ", "\n", "\n\n\n"])), min_size=1))
@settings(max_examples=80)
def test_the_light_level_keeps_numbers_links_quotes_and_names(parts: list[tuple[str, str]]) -> None:
    text = "".join(token + gap for token, gap in parts)
    shorter = compress(text, level=Level.LIGHT)
    assert shorter.reversible
    assert all(token in shorter.text for token, _ in parts)
    assert len(shorter.text) <= len(text)


@given(st.text(alphabet="ab 1.\n\"'`<>/p=", max_size=80))
@settings(max_examples=80)
def test_light_text_loses_no_mark_but_blanks_and_repeats(text: str) -> None:
    def expanded(lines: list[str]) -> list[str]:
        result: list[str] = []
        for line in lines:
            head, _, count = line.partition("  [×")
            result += [head] * (int(count.rstrip("]")) if count else 1)
        return ["".join(line.split()) for line in result if line.strip()]

    shorter = compress(text, level=Level.LIGHT).text
    if "</p>" not in text:
        assert expanded(shorter.split("\n")) == expanded(text.split("\n"))


def test_markup_that_only_shapes_goes() -> None:
    page = '<div class="x"><p>Price: 1.10 at <a href="https://a.example/1">A</a></p></div>'
    shorter = compress(page, level=Level.LIGHT).text
    assert shorter.split() == ["Price:", "1.10", "at", "<a", 'href="https://a.example/1">A</a>']
    assert compress("std::vector<i> </b> </b>", level=Level.LIGHT).text == (
        "std::vector<i> </b> </b>"
    )


def test_json_is_minified_then_sampled_with_a_count() -> None:
    value = [{"id": number, "name": f"row {number}"} for number in range(50)]
    light = compress(json.dumps(value, indent=4), level=Level.LIGHT)
    assert light.reversible
    assert json.loads(light.text) == value
    folded = compress(json.dumps(value), level=Level.FOLDED)
    assert not folded.reversible
    assert "… 46 more …" in folded.text


def test_logs_fold_and_keep_errors() -> None:
    lines = [f"2026-05-08 12:00:{n:02} INFO served request {n}" for n in range(40)]
    lines.insert(20, "2026-05-08 12:00:20 ERROR disk is full")
    folded = compress("\n".join(lines), level=Level.FOLDED)
    assert folded.kind == "log"
    assert "ERROR disk is full" in folded.text
    assert "[and 39 more like it]" in folded.text
    assert not folded.reversible


def test_tables_keep_head_and_tail() -> None:
    rows = ["name,age,town", *(f"n{n},{n},t{n}" for n in range(40))]
    folded = compress("\n".join(rows), level=Level.FOLDED)
    assert folded.kind == "table"
    assert "name,age,town" in folded.text
    assert "n39,39,t39" in folded.text
    assert "rows left out" in folded.text


def test_a_long_output_ends_under_its_number() -> None:
    text = " ".join(f"word{n}" for n in range(2_000))
    shorter = compress_tool_output(text, handle=12, counter=COUNTER, enough=160)
    assert COUNTER.text(shorter) <= 170
    assert "#12" in shorter
    assert compress_tool_output("short", handle=12, counter=COUNTER) == "short"


def test_the_latest_user_turn_is_never_compressed() -> None:
    from langchain_core.messages import HumanMessage

    text = "a   b\n\n\n\n" + json.dumps(list(range(30)), indent=2)
    packed = fit([HumanMessage(text, id="u")], budget=2_000, counter=COUNTER)
    assert packed.messages[-1].content == text
