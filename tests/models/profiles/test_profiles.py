"""Profiles and capabilities: what is sent to which model, and what a broken file does."""

import time
from pathlib import Path
from typing import Any

import pytest

from allotrope.exceptions import ProfileError, SettingsError
from allotrope.models.profiles.choices import ProfileChoices
from allotrope.models.profiles.library import PROFILES, ProfileLibrary, open_profiles, with_profile
from allotrope.models.profiles.parameters import arguments_for, chain_arguments, plan_for
from allotrope.models.profiles.profile import Profile
from allotrope.models.providers.capabilities import capabilities_of, resolve
from allotrope.settings import load_settings


def profile(**fields: Any) -> Profile:
    return Profile(**{"name": "mine", "description": "Mine.", **fields})


def write(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.yaml").write_text(
        f"name: {name}\ndescription: A test.\n{text}", encoding="utf-8"
    )


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("o3", "o3"),
        ("o3-2025-04-16", "o3"),
        ("openai/o3", "o3"),
        ("openai/o3-2025-04-16", "o3"),
        ("O4-mini-2025-04-16", "o4-mini"),
        ("gpt-4-0613", "gpt-4"),
        ("gpt-4o-2024-08-06", "gpt-4o-2024-08-06"),
        ("ft:gpt-4.1-2025-04-14:acme::abc", "gpt-4.1"),
        ("gpt-5.1-2025-11-13", "gpt-5.1"),
        ("my-own-model", None),
        ("o9", None),
    ],
)
def test_names_are_resolved(name: str, known: str | None) -> None:
    assert resolve(name)[0] == known
    assert capabilities_of(name).known_as == known


def test_the_families_differ_in_what_they_take() -> None:
    o3, gpt41, gpt5, gpt51 = (capabilities_of(n) for n in ("o3", "gpt-4.1", "gpt-5", "gpt-5.1"))
    assert (o3.max_input_tokens, o3.max_output_tokens) == (200_000, 100_000)
    assert not o3.takes("temperature")
    assert not o3.takes("stop")
    assert not o3.takes("verbosity")
    assert capabilities_of("o3-mini-2025-01-31").takes("stop")
    assert gpt41.takes("temperature")
    assert not gpt41.takes("reasoning_effort")
    assert gpt5.takes("verbosity")
    assert not gpt5.takes("temperature", effort="none")
    assert gpt51.takes("temperature", effort="none")
    assert not gpt51.takes("temperature", effort="low")
    assert not capabilities_of("o9").takes("temperature")
    assert capabilities_of("o9").takes("reasoning_effort")
    assert not capabilities_of("my-own-model").takes("reasoning_effort")
    assert capabilities_of("o9").max_input_tokens is None


def test_the_creative_profile_means_sampling_on_one_model_and_effort_and_style_on_the_other() -> (
    None
):
    creative = ProfileLibrary([PROFILES]).get("creative")
    on_gpt = plan_for(creative, "gpt-4.1", fallback=True)
    assert on_gpt.arguments["temperature"] == 1.0
    assert on_gpt.arguments["top_p"] == 0.95
    on_o3 = plan_for(creative, "o3").check()
    assert on_o3.arguments == {"reasoning_effort": "low", "max_completion_tokens": 16000}
    outcomes = {note.parameter: note.outcome for note in on_o3.notes}
    assert outcomes["temperature"] == outcomes["top_p"] == "translated"
    assert all(note.why for note in on_o3.notes if note.outcome != "sent")


@pytest.mark.parametrize("name", ["precise", "analytical", "balanced", "creative", "economical"])
@pytest.mark.parametrize(
    "model", ["o3", "o3-2025-04-16", "o4-mini", "gpt-5", "gpt-5.1", "gpt-6-sol"]
)
def test_the_packaged_profiles_fit_every_reasoning_model(name: str, model: str) -> None:
    plan = plan_for(ProfileLibrary([PROFILES]).get(name), model).check()
    assert not {"temperature", "top_p", "presence_penalty"} & set(plan.arguments)
    assert {n.parameter for n in plan.notes} == set(
        ProfileLibrary([PROFILES]).get(name).set_parameters()
    ), "each parameter ends in a note"


@pytest.mark.parametrize("name", ["precise", "analytical", "balanced", "creative", "economical"])
def test_openai_only_arguments_never_reach_ollama(name: str) -> None:
    pytest.importorskip("langchain_ollama")
    from langchain_ollama import ChatOllama

    chosen = ProfileLibrary([PROFILES]).get(name)
    arguments = arguments_for(chosen, "llama3.1", "ollama")
    assert set(arguments) <= set(ChatOllama.model_fields)
    assert arguments["num_predict"] == chosen.max_output_tokens
    assert not {"reasoning_effort", "service_tier", "verbosity"} & set(arguments)


def test_chatopenai_takes_every_argument() -> None:
    from langchain_openai import ChatOpenAI

    everything = profile(
        temperature=0.5, top_p=0.9, presence_penalty=0.1, frequency_penalty=0.2, seed=1, stop="X",
        max_output_tokens=10, response_format="json", service_tier="priority",
    )  # fmt: skip
    model = ChatOpenAI(api_key="k", model="gpt-4.1", **arguments_for(everything, "gpt-4.1"))
    sent = model._get_request_payload([("human", "hi")])
    assert sent["temperature"] == 0.5
    assert sent["stop"] == ["X"]
    assert sent["max_completion_tokens"] == 10
    assert sent["response_format"] == {"type": "json_object"}
    assert sent["service_tier"] == "priority"
    snapshot = ChatOpenAI(
        api_key="k", model="o3-2025-04-16", **arguments_for(profile(), "o3-2025-04-16")
    )
    assert snapshot.profile is not None
    assert snapshot.profile["max_input_tokens"] == 200_000


@pytest.mark.parametrize(
    ("fields", "model", "said"),
    [
        ({"temperature": 0.5}, "o3", "o3 takes no temperature"),
        ({"stop": ["END"]}, "o3", "o3 takes no stop"),
        ({"verbosity": "low"}, "o3", "o3 takes no verbosity"),
        ({"reasoning_effort": "low"}, "gpt-4.1", "gpt-4.1 takes no reasoning_effort"),
        ({"service_tier": "flex"}, "gpt-4.1", "gpt-4.1 has no tier flex"),
        ({"temperature": 0.5}, "acme-9", "acme-9 is a model we know nothing of"),
    ],
)
def test_what_nothing_can_stand_for_is_refused(
    fields: dict[str, Any], model: str, said: str
) -> None:
    with pytest.raises(ProfileError, match=f"profile 'mine' can't be used with {model}") as caught:
        arguments_for(profile(**fields), model)
    assert said in str(caught.value)
    optional = profile(**fields, optional=list(fields))
    assert arguments_for(optional, model) == {}
    assert plan_for(optional, model).notes[0].outcome == "left out"


def test_limits_are_kept() -> None:
    plan = plan_for(profile(max_output_tokens=500_000, reasoning_effort="max"), "o3")
    assert plan.arguments == {"max_completion_tokens": 100_000, "reasoning_effort": "high"}
    assert {n.outcome for n in plan.notes} == {"translated"}
    assert plan_for(profile(reasoning_effort="minimal"), "o3").arguments == {
        "reasoning_effort": "low"
    }


def test_an_unknown_model_can_be_vouched_for() -> None:
    vouched = profile(temperature=0.5, assume=["temperature"])
    assert arguments_for(vouched, "acme-9") == {"temperature": 0.5}


def test_inheritance_environment_agent_and_override(tmp_path: Path) -> None:
    write(tmp_path, "base", "reasoning_effort: low\nseed: 1\ntimeouts: {total_s: 10, idle_s: 5}\n")
    write(
        tmp_path,
        "child",
        "extends: base\nseed: null\ntimeouts: {total_s: 20}\nenv: {prod: {verbosity: low}}\n"
        "agents: {coder: {reasoning_effort: high}}\n",
    )
    library = ProfileLibrary(
        [tmp_path], env="prod", agents={"coder": "child"}, overrides={"child": {"top_p": 0.5}}
    )
    child = library.get("child")
    assert (child.reasoning_effort, child.seed, child.verbosity, child.top_p) == (
        "low", None, "low", 0.5,
    )  # fmt: skip
    assert (child.timeouts.total_s, child.timeouts.idle_s) == (20, 5)
    assert library.get(agent="coder").reasoning_effort == "high"
    assert ProfileLibrary([tmp_path], env="dev").get("child").verbosity is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("temperature: hot", r"mine.yaml, line 3: temperature: input should be a valid number"),
        ("temperature: 3", r"line 3: temperature: .* less than or equal to 2 \(it is 3\)"),
        ("tempreture: 1", r"line 3: tempreture: no such field"),
        ("extends: nobody", r"line 3: extends: there is no profile 'nobody'"),
        ("extends: mine", r"profiles extend each other: mine → mine"),
        ("env: {production: {seed: 1}}", r"'production' is no environment"),
        ("env: [prod]", r"env: must map names to fields"),
        ("seed: [", r"mine.yaml, line \d: no YAML"),
        ("x: " + "y" * 70_000, r"a profile has at most 65,536"),
    ],
)
def test_a_broken_file_says_where_and_the_old_one_stays(
    tmp_path: Path, text: str, said: str
) -> None:
    write(tmp_path, "mine", "seed: 1\n")
    library = ProfileLibrary([tmp_path])
    assert library.get("mine").seed == 1
    write(tmp_path, "mine", text)
    library.refresh()
    assert library.get("mine").seed == 1
    assert "mine" in library.problems()
    with pytest.raises(ProfileError, match=said):
        ProfileLibrary([tmp_path]).get("mine")
    write(tmp_path, "mine", "seed: 22\n")
    library.refresh()
    assert library.get("mine").seed == 22
    assert library.problems() == {}


def test_live_reload(tmp_path: Path) -> None:
    write(tmp_path, "mine", "seed: 1\n")
    library = ProfileLibrary([tmp_path], reload_s=0.02)
    assert library.get("mine").seed == 1
    write(tmp_path, "mine", "seed: 22\n")
    deadline = time.monotonic() + 60
    while library.get("mine").seed != 22:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    library.close()


def test_from_settings(tmp_path: Path) -> None:
    write(tmp_path, "balanced", "model: o4-mini\ntimeouts: {total_s: 7}\n")
    settings = load_settings(environ={}, env_file=None, profiles={"folder": tmp_path})
    library = open_profiles(settings)
    changed = with_profile(settings, library.get())
    assert (changed.openai.model, changed.openai.timeout_s) == ("o4-mini", 7)
    assert changed.openai.idle_timeout_s == settings.openai.idle_timeout_s
    library.close()
    with pytest.raises(ProfileError, match="Did you mean 'balanced'"):
        library.get("balance")
    assert issubclass(ProfileError, SettingsError)


def test_the_chain_keeps_a_fallbacks_answer_as_short_as_its_settings() -> None:
    settings = load_settings(environ={}, env_file=None, embedded={"max_output_tokens": 99})
    arguments = chain_arguments(ProfileLibrary([PROFILES]).get("analytical"), settings)
    assert arguments["embedded"]["max_completion_tokens"] == 99
    assert arguments["ollama"]["num_predict"] == settings.ollama.num_ctx // 2
    assert arguments["openai"]["max_completion_tokens"] == 32000


def test_openai_refuses_only_where_it_is_in_the_chain() -> None:
    fussy = profile(stop="END")
    without = load_settings(environ={}, env_file=None)
    assert chain_arguments(fussy, without)["embedded"] == {"stop_sequences": ["END"]}
    with pytest.raises(ProfileError, match="o3 takes no stop"):
        chain_arguments(fussy, load_settings(environ={"OPENAI_API_KEY": "k"}, env_file=None))


def test_a_persons_choice_holds_for_the_agent_and_a_damaged_file_is_written_anew(
    tmp_path: Path,
) -> None:
    choices = ProfileChoices(tmp_path / "choices.json")
    library = ProfileLibrary([PROFILES], choices=choices)
    assert library.get(agent="analyst", own="analytical").name == "analytical"
    assert choices.choose("analyst", "creative", by="ann", why="tone/warm").was is None
    assert library.refresh()
    assert library.get(agent="analyst", own="analytical").name == "creative"
    assert library.get("precise", agent="analyst", own="analytical").name == "precise"
    assert library.get(agent="coder", own="precise").name == "precise"
    fixed = ProfileLibrary([PROFILES], choices=choices, agents={"analyst": "economical"})
    assert fixed.get(agent="analyst", own="analytical").name == "economical"
    (tmp_path / "choices.json").write_text('{"agents": {"analyst"')
    library.refresh()
    assert library.get(agent="analyst", own="analytical").name == "creative"
    assert len(list(tmp_path.glob("choices.json.damaged-*"))) == 1
    assert ProfileChoices(tmp_path / "choices.json").current() == {"analyst": "creative"}
    assert choices.choose("analyst", None, by="ann").was == "creative"


@pytest.mark.parametrize(
    "model", ["o3", "o3-pro", "o4-mini", "gpt-5", "gpt-5.1", "gpt-4.1", "gpt-4o"]
)
def test_every_packaged_profile_runs_on_every_known_model(model: str) -> None:
    library = ProfileLibrary([PROFILES], env="dev")
    assert len(library.names()) >= 5
    for name in library.names():
        plan = plan_for(library.get(name), model)
        assert not plan.refused, name
