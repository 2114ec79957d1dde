"""An Ollama that nobody set up is asked where one answers; where none does, it is no outage."""

import socket
from collections.abc import Iterator

import pytest

from allotrope.models.breaker.circuits import Circuits
from allotrope.models.breaker.status import status_of
from allotrope.models.chain import build_models
from allotrope.operations.doctor import examine
from allotrope.settings import Settings, load_settings
from allotrope.settings.sections import OllamaSettings


@pytest.fixture
def port() -> Iterator[int]:
    """A port on which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def unset(port: int, env: str = "dev") -> Settings:
    """Settings in which nothing of Ollama is set; its usual address is another one here."""
    usual = OllamaSettings.model_construct(_fields_set=set(), host=f"http://127.0.0.1:{port}")
    return load_settings(
        environ={"OPENAI_API_KEY": "sk-test", "ALLOTROPE_ENV": env},
        env_file=None,
        embedded={"enabled": False},
        redis={"embedded": False},
    ).model_copy(update={"ollama": usual})


def providers(settings: Settings) -> list[str]:
    return list(dict.fromkeys(model.provider for model in build_models(settings)))


def test_where_none_answers_it_is_not_in_the_chain(port: int) -> None:
    settings = unset(port)
    assert providers(settings) == ["openai"]
    nobody = settings.model_copy(
        update={"openai": settings.openai.model_copy(update={"enabled": False})}
    )
    assert status_of(nobody, Circuits())["answers_now"] is None
    (found,) = [one for one in examine(nobody) if one.part == "Ollama"]
    assert found.state == "off"
    assert "none is set up" in found.told


def test_where_one_answers_it_is(port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert providers(unset(server.getsockname()[1])) == ["openai", "ollama"]


@pytest.mark.parametrize("environ", [{"OLLAMA_HOST": ""}, {"ALLOTROPE_OLLAMA__ENABLED": "true"}])
def test_one_that_was_set_up_is_in_the_chain_up_or_down(port: int, environ: dict[str, str]) -> None:
    given = {name: value or f"127.0.0.1:{port}" for name, value in environ.items()}
    settings = load_settings(
        environ={"OPENAI_API_KEY": "sk-test", **given}, env_file=None, embedded={"enabled": False}
    )
    assert providers(settings) == ["openai", "ollama"]


def test_in_production_it_may_come_up_later(port: int) -> None:
    assert providers(unset(port, "prod")) == ["openai", "ollama"]
