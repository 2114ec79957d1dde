"""What the pages promise with always, never or every: each such sentence names the test behind it.

The README's first screen is held by a test of its own. "Always-valid" is a term of statistics.
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
        "a turn with every repair may cost": "front/test_batch.py::test_agents_are_listed",
        "A draft that breaks a constraint never wins over one that doesn't": (
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
            "drill/test_drill.py::test_compressed_settings_shorten_what_is_time"
        ),
        "Below the table stands every second of the run": "drill/test_drill.py::test_strip",
        "`--json` has the same figures and every turn": "drill/test_drill.py::test_command",
        "and the same for every system": ("drill/test_drill.py::test_a_system_that_fails_is_seen"),
        "Every turn was answered, no message was lost": (
            "drill/test_drill.py::test_lost_and_doubled_messages_are_seen"
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
            "models/profiles/test_profiles.py::test_every_packaged_profile_runs_on_every_known_model"
        ),
        "The packaged profiles run on every model": (
            "models/profiles/test_profiles.py::test_every_packaged_profile_runs_on_every_known_model"
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
    "docs/cache.md": {
        "it may cost a hit, never a wrong answer": (
            "models/cache/test_keys.py::test_every_field_of_the_model_counts_or_is_listed"
        ),
        "Never kept: errors, empty": (
            "models/cache/test_exact.py::test_what_is_no_good_answer_is_never_stored"
        ),
        "a fallback's answer is never given in the primary's name": (
            "models/cache/test_exact.py::test_what_changes_the_answer_changes_the_key"
        ),
    },
    "docs/contracts.md": {
        "by names of providers, models and classes, never by content": (
            "front/test_outage_signs.py::test_log_lines_of_an_outage_have_ids_and_no_content"
        ),
    },
    "docs/dashboard.md": {
        "looked at every five seconds": (
            "web/test_dashboard_browser.py::test_what_is_live_changes_by_itself"
        ),
        "what the ledger has: never content": (
            "usage/test_recorder.py::test_nothing_of_the_content_reaches_the_disk"
        ),
        "Every chart has a sentence": (
            "web/test_dashboard_browser.py::test_every_chart_is_drawn_and_has_its_table"
        ),
        "The tests open every page in Chromium": (
            "web/test_dashboard_browser.py::test_nothing_bars_people"
        ),
        "every metric and label in the dashboard's queries": (
            "web/test_grafana.py::test_each_query_finds_its_metric_and_labels"
        ),
        "every metric of ours has a panel": ("web/test_grafana.py::test_every_metric_has_a_panel"),
    },
    "docs/experiments.md": {
        "A failed answer is a failure, never a cheap one": (
            "experiments/test_decisions.py::test_a_variant_that_fails_more_does_not_win_on_cost_and_that_is_said"
        ),
        "It gets the worst value of every scorer": (
            "experiments/test_scorers.py::test_the_evaluator_checks_items_and_gives_failures_the_worst_score"
        ),
        "never on one bad answer": (
            "experiments/test_edges.py::test_a_limit_is_broken_once_a_bet_on_it_has_won_one_over_alpha"
        ),
        "`allotrope serve` looks every `ALLOTROPE_EXPERIMENTS__WATCH_S` seconds": (
            "front/test_online.py::test_serve_stops_a_bad_variant_without_anybody_looking"
        ),
        "Every turn of an `allotrope.build_agent(…)` agent": (
            "front/test_online.py::test_turns_get_their_variant_and_are_recorded"
        ),
    },
    "docs/memory.md": {
        "Memory keeps every message in an archive": (
            "memory/test_manager.py::test_the_state_stays_small_and_nothing_is_lost"
        ),
        "a tool call never parts from its results": (
            "memory/test_fit.py::test_any_conversation_in_any_budget"
        ),
        "Every operation on threads and archive": (
            "memory/test_postgres_outage.py::test_a_turn_goes_on_when_the_server_went_away_in_its_middle"
        ),
        "the password is never shown": (
            "security/test_files_and_secrets.py::test_doctor_prints_no_password"
        ),
    },
    "docs/models.md": {
        "in which every row has its source": (
            "models/catalogue/test_entries.py::test_every_row_has_a_source_and_every_line_ends"
        ),
        "Refused content is never tried again": (
            "models/test_failover.py::test_refused_content_is_told_to_the_user"
        ),
    },
    "docs/resilience.md": {
        "Every exception of the OpenAI client": (
            "models/failures/test_errors.py::test_openai_answers"
        ),
        "never shorter than `Retry-After`": (
            "models/breaker/test_breaker.py::test_a_break_is_never_shorter_than_retry_after"
        ),
        "the limit is never below `overdue_share`": (
            "models/waiting/test_overdue.py::test_the_limit_adapts_and_has_a_floor"
        ),
        "by every call, since holding them back spares nobody": (
            "models/breaker/test_breaker.py::test_when_nobody_else_can_answer_a_local_model_takes_every_call"
        ),
        "shows it every second": (
            "front/test_outage.py::test_status_is_shown_again_until_it_is_stopped"
        ),
        "reach every process that shares the Redis": (
            "models/breaker/test_circuits.py::test_two_processes_share_one_circuit"
        ),
        "prompts, answers and keys never": (
            "front/test_outage_signs.py::test_log_lines_of_an_outage_have_ids_and_no_content"
        ),
    },
    "docs/security.md": {
        "on every server: a server looks": (
            "security/test_keys.py::test_a_revoked_key_ends_within_three_seconds_and_a_rotated_one_changes"
        ),
        "beside the requests every five minutes": (
            "security/test_signed.py::test_signing_keys_are_fetched_beside_the_requests"
        ),
    },
    "docs/serving.md": {},
    "docs/testing.md": {
        "(never the key)": ("testing/test_simulator.py::test_records_without_the_key"),
        "Prompts below 1,024 tokens are never cached": ("testing/test_prompt_caching.py::"),
        "checks for every fault that the": ("testing/test_faults.py::"),
    },
    "docs/ARCHITECTURE.md": {},
    "docs/turn.md": {
        "(they are never deleted)": (
            "memory/test_manager.py::test_the_state_stays_small_and_nothing_is_lost"
        ),
        "Every answer says where it came from": (
            "front/test_ask.py::test_json_has_the_stable_fields"
        ),
    },
    "docs/usage.md": {
        "Every model call becomes one row": (
            "usage/test_recorder.py::test_openai_counts_by_every_way_of_asking"
        ),
        "Never content, never keys": (
            "usage/test_recorder.py::test_nothing_of_the_content_reaches_the_disk"
        ),
        "costs `null`, never 0, with one warning": (
            "usage/test_ledger.py::test_a_call_without_a_price_is_null_never_zero"
        ),
        "writes every half second, at exit and on SIGTERM": (
            "usage/test_recorder.py::test_sigterm_flushes"
        ),
        "an id is never counted twice": (
            "usage/test_ledger.py::test_the_same_call_twice_counts_once_in_rows_and_rollups"
        ),
        "on every budget it counts against or on none": (
            "usage/test_budgets.py::test_all_accounts_are_booked_or_none"
        ),
        "it may count twice, never not at all": (
            "usage/test_balances.py::test_what_was_written_after_the_ledger_was_read_counts"
        ),
        "at every flush": (
            "usage/test_balances.py::test_without_redis_the_ledger_says_what_others_spent"
        ),
        "shows every budget": (
            "usage/test_budget_profiles.py::test_budgets_of_each_user_are_shown_before_anybody_came"
        ),
        "by every notifier of": ("usage/test_alerts.py::test_a_broken_notifier_stops_nobody"),
        "`allotrope serve` looks every hour": (
            "succession/test_ends_told.py::test_the_server_tells_the_notifiers"
        ),
        "every report begins with it": ("succession/test_ends_told.py::test_reports_say_it"),
        "always asks anew": (
            "usage/test_rules.py::test_advice_is_kept_for_an_hour_where_there_is_much_to_read"
        ),
    },
}
"""By page: the words of a promise, and the test (or file of tests) under `tests/` that holds it."""


TOLD = re.compile(r"(?<!--)(?<!=)\b(always|never|every)\b(?![- ]valid)", re.IGNORECASE)


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
        for found in TOLD.finditer(text)
        if not any(start <= found.start() < end for start, end in spans)
    ]
    assert bare == [], "promises without a test"


@pytest.mark.parametrize("named", sorted({t for page in PROMISES.values() for t in page.values()}))
def test_the_named_tests_are_there(named: str) -> None:
    file, _, name = named.partition("::")
    source = (ROOT / "tests" / file).read_text(encoding="utf-8")
    assert re.search(rf"def {name or 'test_'}", source)


def test_each_page_is_listed() -> None:
    pages = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
    assert {"README.md", *pages} == PROMISES.keys()
