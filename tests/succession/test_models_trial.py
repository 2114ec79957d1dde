"""`allotrope models trial`: two models, the same questions; against the provider simulator."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from tests.conftest import RunCli

from allotrope.agents.agent import build_agent
from allotrope.experiments.dataset import Item
from allotrope.experiments.definition import Variant
from allotrope.memory.opening import open_archive
from allotrope.settings import Settings
from allotrope.succession.trials.measures import asks_for_json, calls_right, other_script
from allotrope.succession.trials.trial import OnlyTheseModels
from allotrope.succession.trials.tried import TriedModel
from allotrope.testing import ProviderSimulator
from allotrope.testing.content.replies import Reply

QUESTIONS = [
    {"id": "one", "question": "1 + 1?", "answer": 2},
    {"id": "two", "question": "1 + 2?", "answer": 3},
    {"id": "three", "question": "Answer only with JSON: the sum of 1 and 3.", "answer": 4},
]


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "sums.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in QUESTIONS))
    return path


def asked(simulator: ProviderSimulator) -> dict[str, int]:
    """Requests by model; lists of models and the like don't count."""
    found: dict[str, int] = {}
    for request in simulator.chats():
        found[str(request.model)] = found.get(str(request.model), 0) + 1
    return found


def by_model(simulator: ProviderSimulator, **answers: str) -> None:
    """Answers each model's requests with a text of its own; `gpt_6_1_sol` is `gpt-6.1-sol`."""
    for name, text in answers.items():
        simulator.when(
            lambda request, name=name: _plain(str(request.model)) == name,
            text,
        )


def _plain(model: str) -> str:
    return model.replace("-", "_").replace(".", "_")


def found(cli: RunCli, *words: str, **environ: str) -> dict[str, Any]:
    ran = cli("models", "trial", *words, "--json", **environ)
    assert ran.code == 0, ran.err
    report: dict[str, Any] = json.loads(ran.out)
    return report


def test_both_models_answer_every_question_and_nobody_else(
    cli: RunCli, simulator: ProviderSimulator, questions: Path
) -> None:
    by_model(simulator, o3="The answer is 2.", gpt_6_1_sol="4")
    report = found(cli, "o3", "gpt-6.1-sol", "--dataset", str(questions))
    assert asked(simulator) == {"o3": 3, "gpt-6.1-sol": 3}
    assert (report["from"], report["to"], report["answers"]) == ("o3", "gpt-6.1-sol", 6)
    assert (report["ended"], report["complete"]) == ("complete", True)
    estimates = report["estimates"]
    assert estimates["quality"]["from"]["mean"] == pytest.approx(1 / 3)
    assert estimates["quality"]["to"]["mean"] == pytest.approx(1 / 3)
    assert estimates["answer_chars"]["from"]["mean"] == len("The answer is 2.")
    assert estimates["answer_chars"]["to"]["mean"] == 1
    assert (estimates["json_valid"]["from"]["mean"], estimates["json_valid"]["to"]["mean"]) == (
        0,
        1,
    )
    for name in ("cost_usd", "latency_ms", "input_tokens", "output_tokens"):
        assert estimates[name]["from"]["low"] <= estimates[name]["from"]["high"], name
    chars = next(row for row in report["comparisons"] if row["metric"] == "answer_chars")
    assert chars["fixed"]["estimate"] == 1 - len("The answer is 2.")
    assert "No difference in quality is shown" in report["quality"]


def test_a_model_that_ends_during_the_trial_fails_and_gets_no_successor(
    cli: RunCli, simulator: ProviderSimulator, questions: Path
) -> None:
    simulator.retire("o3")
    report = found(cli, "o3", "gpt-5.6-terra", "--dataset", str(questions))
    assert set(asked(simulator)) == {"o3", "gpt-5.6-terra"}  # gpt-6.1-sol took nothing over
    assert report["estimates"]["error_rate"]["from"]["mean"] == 1
    assert report["estimates"]["error_rate"]["to"]["mean"] == 0
    assert {failure.split(",")[0] for failure in report["failures"]} == {"o3"}
    assert "OpenAI has no model o3" in report["failures"][0]


async def test_an_answer_of_the_successor_counts_as_failed(
    simulator: ProviderSimulator, simulator_settings: Settings
) -> None:
    simulator.retire("o3")
    variant = Variant(name="from", share=0.5)
    models = {"from": TriedModel("openai", "o3")}
    subject = OnlyTheseModels("assistant", simulator_settings, build=build_agent, models=models)
    async with subject:
        outcome = await subject(Item("1", "Hello?"), variant, repeat=0)
    assert outcome.answer == ""
    assert outcome.error is not None
    assert outcome.error.startswith("AnotherModel: openai/gpt-6.1-sol")


def test_a_profile_that_names_a_model_is_tried_with_both_all_the_same(
    cli: RunCli, simulator: ProviderSimulator, questions: Path
) -> None:
    overrides = json.dumps({"balanced": {"model": "gpt-6-luna"}})
    found(cli, "o3", "gpt-6.1-sol", "--dataset", str(questions),
          ALLOTROPE_PROFILES__OVERRIDES=overrides)  # fmt: skip
    assert asked(simulator) == {"o3": 3, "gpt-6.1-sol": 3}


def test_the_report_has_all_measures_and_goes_to_a_file(
    cli: RunCli, simulator: ProviderSimulator, questions: Path, tmp_path: Path
) -> None:
    by_model(simulator, o3="2", gpt_6_1_sol="Ответ: 2")
    out = tmp_path / "trial.md"
    ran = cli(
        "models", "trial", "o3", "gpt-6.1-sol", "--dataset", str(questions), "--out", str(out)
    )
    assert ran.code == 0, ran.err
    assert ran.out == out.read_text()
    for measure in (
        "quality", "failed or refused, share", "cost of a turn, USD", "time of a turn, ms",
        "tokens in", "tokens out, reasoning included", "of these reasoning",
        "length of the answer, characters", "letters in another script than the question's, share",
        "valid JSON where it was asked for, share",
    ):  # fmt: skip
        assert f"\n| {measure} | " in ran.out, measure
    script = next(line for line in ran.out.splitlines() if line.startswith("| letters in another"))
    assert script.split(" | ")[2].startswith("1.00")
    assert "o3: answered by openai/o3-2025-04-16 (3)" in ran.out


def test_what_it_may_cost_ends_it(
    cli: RunCli, simulator: ProviderSimulator, questions: Path
) -> None:
    report = found(cli, "o3", "gpt-6.1-sol", "--dataset", str(questions), "--max-usd", "0.0001")
    assert "the cost cap of 0.0001 USD is reached" in report["ended"]
    assert len(simulator.chats()) < 6
    assert report["complete"] is False


def test_expected_tool_calls_are_compared(
    cli: RunCli, simulator: ProviderSimulator, tmp_path: Path
) -> None:
    path = tmp_path / "tools.jsonl"
    lines = [
        {"question": "What is 6 times 7?", "answer": 42, "tools": ["calculator"]},
        {"question": "Say hello.", "answer": "hello", "tools": []},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    call = Reply(tool_calls=[{"name": "calculator", "args": {"expression": "6*7"}}])

    def o3(request: Any) -> Any:
        done = any(turn.role == "tool" for turn in request.asked.turns)
        return call if "times" in request.text and not done else "42 hello"

    simulator.when(lambda request: request.model == "o3", o3)
    by_model(simulator, gpt_6_1_sol="42 hello")
    report = found(cli, "o3", "gpt-6.1-sol", "--dataset", str(path))
    right = report["estimates"]["tool_calls_right"]
    assert (right["from"]["mean"], right["to"]["mean"]) == (1.0, 0.5)


def test_without_answers_a_judge_compares_where_one_can_be_had(
    cli: RunCli, simulator: ProviderSimulator, tmp_path: Path
) -> None:
    path = tmp_path / "open.jsonl"
    path.write_text('{"question": "Tell me a joke."}\n{"question": "Tell me of rain."}\n')
    by_model(simulator, o3="short", gpt_6_1_sol="longer")
    report = found(cli, "o3", "gpt-6.1-sol", "--dataset", str(path))
    assert report["judged_by"] == "o3"
    assert asked(simulator) == {"o3": 2 + 4, "gpt-6.1-sol": 2}  # two pairs, in both orders
    simulator.reset()
    by_model(simulator, o3="short", gpt_6_1_sol="longer")
    report = found(cli, "o3", "gpt-6.1-sol", "--dataset", str(path), "--no-judge")
    assert report["quality"].startswith("No reference answers: quality not judged")
    assert asked(simulator) == {"o3": 2, "gpt-6.1-sol": 2}


def archived(settings: Settings, *texts: str) -> None:
    archive = open_archive(settings)
    for number, text in enumerate(texts):
        pair = [HumanMessage(text, id=f"q{number}"), AIMessage("Well.", id=f"a{number}")]
        archive.add(settings.tenant, f"thread-{number}", pair, at=datetime.now(UTC))
    archive.close()


def test_own_questions_go_to_both_models_only_and_nothing_is_kept(
    cli: RunCli, simulator: ProviderSimulator, simulator_settings: Settings
) -> None:
    archived(simulator_settings, "An old secret?", "A secret of Ann?", "A secret of Bob?")
    ran = cli("models", "trial", "o3", "gpt-6.1-sol", "--from-archive", "2")
    assert ran.code == 0, ran.err
    assert "your own archive: its latest 2 questions" in ran.err
    assert "these are your own questions, used because you asked for it" in ran.out
    assert asked(simulator) == {"o3": 2, "gpt-6.1-sol": 2}
    bodies = " ".join(str(request.body) for request in simulator.chats())
    assert "Ann" in bodies
    assert "Bob" in bodies
    assert "old secret" not in bodies
    archive = open_archive(simulator_settings)
    [[threads]] = archive.database.run("SELECT COUNT(*) FROM archive_threads")
    archive.close()
    assert threads == 3  # the trial's own turns aren't archived
    kept = [path for path in simulator_settings_files(simulator_settings) if "trials" in str(path)]
    assert kept == []


def simulator_settings_files(settings: Settings) -> list[Path]:
    assert settings.data_dir is not None
    return [path for path in settings.data_dir.rglob("*") if path.is_file()]


def test_ollamas_models_can_be_tried(
    cli: RunCli, simulator: ProviderSimulator, questions: Path
) -> None:
    report = found(cli, "ollama:llama3.1", "gpt-6.1-sol", "--dataset", str(questions))
    assert report["estimates"]["error_rate"]["from"]["mean"] == 0
    assert len(simulator.chats("ollama")) == 3
    assert len(simulator.chats("openai")) == 3


@pytest.mark.parametrize(
    ("words", "environ", "said", "hint"),
    [
        (("o3", "gpt-5.6-tera"), {}, "Nobody knows a model 'gpt-5.6-tera'. Did you mean "
         "'gpt-5.6-terra'?", "ollama:NAME"),
        (("o3", "ollama:lama3.1"), {}, "has no model 'lama3.1'", "Did you mean ollama:llama3.1"),
        (("o3", "nowhere.gguf"), {}, "nowhere.gguf isn't there", "path of a GGUF"),
        (("o3", "o3"), {}, "are the same model", ""),
        (("primary", "gpt-6.1-sol"), {}, "'primary' is a role", "Its model is o3"),
        (("o3", "gpt-5.6-terra"), {"ALLOTROPE_OPENAI__TODAY": "2026-12-11"},
         "o3 ended on 2026-12-11; gpt-6.1-sol answers in its place.",
         "`allotrope models trial gpt-6.1-sol gpt-5.6-terra`"),
        (("o3", "gpt-6.1-sol"), {"ALLOTROPE_OPENAI__TODAY": "2026-12-11"},
         "o3 ended on 2026-12-11", "bench quality"),
        (("o3", "gpt-6.1-sol", "--from-archive", "5"), {}, "Your archive has no questions",
         "--dataset FILE"),
        (("o3", "gpt-6.1-sol", "--agent", "asistant"), {}, "asistant", ""),
    ],
)  # fmt: skip
def test_mistakes_are_refused_before_anything_is_asked(
    cli: RunCli, simulator: ProviderSimulator, words: Any, environ: Any, said: str, hint: str
) -> None:
    ran = cli("models", "trial", *words, **environ)
    assert ran.code == 2
    assert said in ran.err
    assert hint in ran.err
    assert "Traceback" not in ran.err
    assert simulator.chats() == []


def test_tools_that_cant_be_read_are_refused(
    cli: RunCli, simulator: ProviderSimulator, tmp_path: Path
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(
        '{"id": "x", "question": "6 times 7?", "answer": 42, "tools": [{"args": {}}]}\n'
    )
    ran = cli("models", "trial", "o3", "gpt-6.1-sol", "--dataset", str(path))
    assert ran.code == 2
    assert "The question 'x': tools must be a list of names" in ran.err
    assert simulator.chats() == []


@pytest.mark.parametrize(
    ("expected", "called", "right"),
    [
        (["a"], [("a", {})], True),
        (["a"], [], False),
        ([], [("a", {})], False),
        ([], [], True),
        (["a", {"name": "a", "args": {"x": 1}}], [("a", {"x": 1, "y": 2}), ("a", {"x": 2})], True),
        ([{"name": "a", "args": {"x": 1}}], [("a", {"x": 2})], False),
        ([{"name": "a"}], [("a", {"x": 2})], True),
    ],
)
def test_tool_calls_are_right_where_just_the_expected_ones_were_made(
    expected: Any, called: Any, right: bool
) -> None:
    calls = [{"name": name, "args": args} for name, args in called]
    assert calls_right(expected, calls) is right


def test_scripts_tell_russian_from_english_and_not_german_from_english() -> None:
    assert other_script("What is it?", "Это Paris") == pytest.approx(3 / 8)
    assert other_script("What is it?", "Ein Schloss.") == 0
    assert other_script("Что это?", "Это Paris") == pytest.approx(5 / 8)
    assert other_script("これは何?", "漢字です") == 0
    assert other_script("What is it?", "42") is None


def test_json_is_asked_for_by_words_scorer_or_field() -> None:
    assert asks_for_json(Item("1", "Answer only with JSON: a list."))
    assert asks_for_json(Item("2", "List it.", scorer={"kind": "json-schema", "schema": {}}))
    assert asks_for_json(Item("3", "List it.", extra={"json": True}))
    assert not asks_for_json(Item("4", "What is JSON?"))
    assert not asks_for_json(Item("5", "Answer with JSON.", extra={"json": False}))


def test_the_canary_of_the_docs_gives_a_share_of_the_conversations_the_new_model(
    cli: RunCli, simulator: ProviderSimulator, tmp_path: Path
) -> None:
    examples = Path(__file__).parents[2] / "docs" / "examples"
    environ = {
        "ALLOTROPE_PROFILES__FOLDER": str(examples / "profiles"),
        "ALLOTROPE_EXPERIMENTS__FOLDER": str(tmp_path / "experiments"),
    }
    ran = cli("experiment", "run", str(examples / "models-canary.yaml"), **environ)
    assert ran.code == 0, ran.err
    new = []
    for number in range(40):
        ran = cli("ask", "assistant", f"{number}?", "--json", "--thread", f"t{number}", **environ)
        if json.loads(ran.out)["model"].startswith("gpt-6.1-sol"):
            new.append(f"t{number}")
    # threads are assigned by a hash of their names: always the same ones
    assert 1 <= len(new) <= 10
    assert cli("experiment", "stop", "models-canary", **environ).code == 0
    simulator.reset()
    cli("ask", "assistant", "And now?", "--json", "--thread", new[0], **environ)
    assert asked(simulator) == {"o3": 1}
