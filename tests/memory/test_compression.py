"""Compression by level: what it never touches, and that it says what it left out."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allotrope.memory.compression import Level, compress, compress_tool_output
from allotrope.memory.fit import fit
from allotrope.memory.tokens import TokenCounter

COUNTER = TokenCounter()
LEVELS = list(Level)
CODE = st.text(alphabet="abc <>|,=0123456789\n\t", min_size=1, max_size=120)
TOKENS = st.sampled_from(
    ["3.1400", "https://example.org/a?b=1&c=2", '"as she said it"', "Ørsted", "-7", "1,234.50"]
)


@pytest.mark.parametrize("level", LEVELS)
@given(code=CODE, around=st.text(alphabet="xy \n", max_size=60))
@settings(max_examples=40, deadline=None)
def test_code_blocks_are_kept_to_the_letter(level: Level, code: str, around: str) -> None:
    block = f"```\n{code}\n```"
    assert block in compress(f"Around {around}\n{block}\n{around} end", level=level).text


@given(st.lists(TOKENS, min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_the_light_level_keeps_numbers_links_quotes_and_names(tokens: list[str]) -> None:
    shorter = compress("   \n\n".join(tokens) + "\n\n\n", level=Level.LIGHT)
    assert shorter.reversible
    assert all(token in shorter.text for token in tokens)


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
