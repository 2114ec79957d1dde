"""A model's window is divided once: prompt, check of length and failover reckon with one sum."""

import pathlib

import pytest

from allotrope.graphs.parts import Parts
from allotrope.graphs.prompt.window import budget_of
from allotrope.models.call.window import divided, window_of
from allotrope.settings import load_settings


@pytest.mark.parametrize(
    ("tokens", "asked", "thinks", "parts"),
    [
        (128_000, 16_000, False, (16_000, 0)),
        (128_000, 16_000, True, (16_000, 8_192)),
        (200_000, None, True, (4_096, 8_192)),
        (8_192, None, False, (2_048, 0)),
        (8_192, None, True, (2_048, 0)),
        (8_192, 100_000, False, (4_096, 0)),
    ],
)
def test_prompt_and_reserves_are_the_window(
    tokens: int, asked: int | None, thinks: bool, parts: tuple[int, int]
) -> None:
    window = divided(tokens, asked=asked, thinks=thinks)
    assert (window.output, window.reasoning) == parts
    assert window.prompt + window.output + window.reasoning == tokens


def test_all_who_ask_for_a_models_window_hear_the_same(tmp_path: pathlib.Path) -> None:
    settings = load_settings(
        environ={}, env_file=None, data_dir=tmp_path,
        openai={"api_key": "sk-x", "model": "gpt-4o"}, ollama={"enabled": True, "num_ctx": 8_192},
        embedded={"enabled": False}, redis={"embedded": False}, callbacks=[],
    )  # fmt: skip
    parts = Parts(settings)
    profile = parts.profiles.get()
    models = list(parts.chain(profile).runnables)
    windows = [window_of(model) for model in models]
    assert {model.provider for model in models} == {"openai", "ollama"}  # type: ignore[attr-defined]
    for model, window in zip(models, windows, strict=True):
        assert window is not None
        budget = budget_of(model, settings)  # type: ignore[arg-type]
        assert budget.conversation + budget.margin == window.prompt
    assert parts.window(profile) == max(window.prompt for window in windows if window)
