"""What the pages promise with always, never or every: each such sentence names the test behind it.

The pages of turns, contracts, cache, resilience, memory, usage, experiments, serving, the dashboard
and testing are held by the tests of their own parts, the README's first screen by its own.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PROMISES: dict[str, dict[str, str]] = {
    "README.md": {
        "an archive that is searched every turn": (
            "memory/test_manager.py::test_planted_facts_come_back_after_two_hundred_turns"
        ),
        "Every part works alone too": "examples/test_embedding_page.py::test_code_of_the_page_runs",
    },
    "docs/agents.md": {
        "every number of the answer is looked up in a query result": (
            "agents/test_analyst.py::test_a_wrong_number_goes_back"
        ),
        "a turn with every repair may cost": "front/test_batch.py::test_agents_are_listed",
        "a wrong number is never shown as an answer": (
            "agents/test_analyst.py::test_a_wrong_number_is_never_shown_as_an_answer"
        ),
        "A draft that breaks one never wins over a draft that doesn't": (
            "agents/test_creative.py::test_the_best_draft_that_keeps_the_constraints_wins"
        ),
        "`always` (for this thread)": "agents/test_coder.py::test_always_holds_for_the_thread",
        "the end of the run kills every process in it": (
            "graphs/sandbox/test_attacks.py::test_double_forked_daemons_dont_survive"
        ),
        "fenced as data in every prompt": (
            "prompts/test_fencing.py::test_templates_fence_what_is_untrusted"
        ),
    },
    "docs/configure.md": {},
    "docs/drill.md": {
        "the clock and every duration of the settings run": (
            "experiments/test_drill.py::test_compressed_settings_shorten_what_is_time"
        ),
        "Below the table stands every second of the run": "experiments/test_drill.py::test_strip",
        "`--json` has the same figures and every turn": "experiments/test_drill.py::test_command",
        "and the same for every system": (
            "experiments/test_drill.py::test_a_system_that_fails_is_seen"
        ),
        "Every turn was answered, no message was lost": (
            "experiments/test_drill.py::test_lost_and_doubled_messages_are_seen"
        ),
    },
    "docs/embedding.md": {
        "every code block of this page": (
            "examples/test_embedding_page.py::test_code_of_the_page_runs"
        ),
    },
    "docs/first-agent.md": {
        "says of every answer where it came from": (
            "web/test_openai_api.py::test_an_answer_has_text_usage_and_provenance"
        ),
        "A version that is live never changes, so that every answer can be traced": (
            "prompts/test_library.py::test_labels_decide_what_is_live_and_promotion_locks"
        ),
    },
    "docs/parameters.md": {
        "What a model refuses is never sent": (
            "models/test_profiles.py::test_every_packaged_profile_runs_on_every_known_model"
        ),
        "The packaged profiles run on every model": (
            "models/test_profiles.py::test_every_packaged_profile_runs_on_every_known_model"
        ),
        "hold in every call that a graph makes": (
            "front/test_profile_limits.py::test_a_run_ends_at_its_profile_s_cost"
        ),
    },
    "docs/prompts.md": {
        "values are never rendered again": (
            "prompts/test_library.py::test_values_are_neither_escaped_nor_rendered_again"
        ),
        "with the minute in it would never repeat": "prompts/test_prefix.py::",
        "A version that was ever live never changes": (
            "prompts/test_library.py::test_labels_decide_what_is_live_and_promotion_locks"
        ),
        "an update of Allotrope never collides with them": (
            "prompts/test_library.py::test_own_numbers_never_hide_the_packaged_ones"
        ),
        "sources are looked at every `ALLOTROPE_PROMPTS__RELOAD_S` seconds": (
            "prompts/test_library.py::test_the_watcher_reloads_and_ends"
        ),
        "A broken file never replaces a good one": (
            "prompts/test_library.py::test_a_broken_file_says_where_and_never_replaces_a_good_one"
        ),
        "each turn of every agent fills": "front/test_context_injection.py::",
        "would end every exact cache hit at midnight": "prompts/test_prefix.py::",
        "never the minute": (
            "prompts/test_context.py::test_the_day_in_the_users_time_zone_and_whole_pieces_in_order"
        ),
        "and every chat format's control token": (
            "prompts/test_fencing.py::test_control_tokens_are_neutralised"
        ),
    },
}
"""By page: the words of a promise, and the test (or file of tests) under `tests/` that holds it."""


def text_of(page: str) -> str:
    """A page's prose on one line, without its code."""
    text = (ROOT / page).read_text(encoding="utf-8")
    if page == "README.md":
        text = text.partition("## What it is")[2]
    return " ".join(re.sub(r"```.*?```", "", text, flags=re.DOTALL).split())


@pytest.mark.parametrize("page", PROMISES)
def test_every_promise_names_its_test(page: str) -> None:
    text = text_of(page)
    held = [text.find(words) for words in PROMISES[page]]
    assert -1 not in held, "these words are on the page no more"
    spans = [(at, at + len(words)) for at, words in zip(held, PROMISES[page], strict=True)]
    bare = [
        text[max(0, found.start() - 60) : found.end() + 40]
        for found in re.finditer(r"\b(always|never|every)\b", text, re.IGNORECASE)
        if not any(start <= found.start() < end for start, end in spans)
    ]
    assert bare == [], "promises without a test"


@pytest.mark.parametrize("named", sorted({t for page in PROMISES.values() for t in page.values()}))
def test_the_named_tests_are_there(named: str) -> None:
    file, _, name = named.partition("::")
    source = (ROOT / "tests" / file).read_text(encoding="utf-8")
    assert re.search(rf"def {name or 'test_'}", source)
