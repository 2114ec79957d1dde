"""Where settings come from, and what a malformed one says."""

import re
from collections.abc import Iterator
from functools import reduce
from pathlib import Path

import pytest
from pydantic import BaseModel

from allotrope.exceptions import SettingsError
from allotrope.settings import Settings, load_settings


def load(tmp_path: Path, dotenv: str = "", **environ: str):  # type: ignore[no-untyped-def] # the fixture of this file
    file = tmp_path / ".env"
    file.write_text(dotenv, encoding="utf-8")
    return load_settings(environ=environ, env_file=file)


def test_order_first_wins(tmp_path: Path) -> None:
    dotenv = "ALLOTROPE_OPENAI__MODEL=from-file\nOPENAI_API_KEY=sk-file\n"
    settings = load(tmp_path, dotenv)
    assert settings.openai.model == "from-file"
    settings = load(
        tmp_path, dotenv, ALLOTROPE_OPENAI__MODEL="from-environment", OPENAI_API_KEY="sk-env"
    )
    assert settings.openai.model == "from-environment"
    assert settings.openai.api_key is not None
    assert settings.openai.api_key.get_secret_value() == "sk-env"
    settings = load(tmp_path, OPENAI_API_KEY="sk-usual", ALLOTROPE_OPENAI__API_KEY="sk-own")
    assert settings.openai.api_key is not None
    assert settings.openai.api_key.get_secret_value() == "sk-own"


def test_usual_names_are_honoured(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        OPENAI_BASE_URL="http://127.0.0.1:1/v1",
        OLLAMA_HOST="0.0.0.0:11434",
        REDIS_URL="redis://:hunter2@127.0.0.1/0",
    )
    assert settings.openai.base_url == "http://127.0.0.1:1/v1"
    assert settings.ollama.host == "http://127.0.0.1:11434"
    assert settings.redis.url is not None
    assert "hunter2" not in repr(settings)


def test_secrets_can_come_from_files(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("sk-in-a-file\n", encoding="utf-8")
    for name in ("OPENAI_API_KEY_FILE", "ALLOTROPE_OPENAI__API_KEY_FILE"):
        settings = load(tmp_path, **{name: str(secret)})
        assert settings.openai.api_key is not None
        assert settings.openai.api_key.get_secret_value() == "sk-in-a-file"
        assert "sk-in" not in f"{settings!r}{settings.model_dump_json()}"


def test_prod_embeds_nothing_unless_asked(tmp_path: Path) -> None:
    prod = load(tmp_path, ALLOTROPE_ENV="prod")
    assert (prod.embedded.enabled, prod.redis.embedded, prod.strict) == (False, False, True)
    assert prod.log.format == "json"
    asked = load(tmp_path, ALLOTROPE_ENV="prod", ALLOTROPE_EMBEDDED__ENABLED="true")
    assert asked.embedded.enabled
    assert not asked.redis.embedded


def _null_means_something(section: type[BaseModel], *path: str) -> Iterator[tuple[str, ...]]:
    for name, field in section.model_fields.items():
        if isinstance(field.default, BaseModel):
            yield from _null_means_something(type(field.default), *path, name)
        elif re.search(r"\bnull\b", field.description or ""):
            yield (*path, name)


@pytest.mark.parametrize("path", list(_null_means_something(Settings)), ids="__".join)
@pytest.mark.parametrize("source", ["environment", ".env"])
def test_null_is_taken_where_the_description_gives_it_a_meaning(
    tmp_path: Path, path: tuple[str, ...], source: str
) -> None:
    name = f"ALLOTROPE_{'__'.join(path).upper()}"
    settings = (
        load(tmp_path, **{name: "null"})
        if source == "environment"
        else load(tmp_path, f"{name}=null\n")
    )
    assert reduce(getattr, path, settings) is None


def test_the_docs_name_settings_that_can_be_null() -> None:
    assert {"__".join(path) for path in _null_means_something(Settings)} >= {
        "resilience__overdue_share",
        "serve__requests_per_minute",
    }


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"ALLOTROPE_ENV": "production"}, "ALLOTROPE_ENV is 'production'"),
        ({"ALLOTROPE_OPENAI__TIMEOUT_S": "soon"}, "ALLOTROPE_OPENAI__TIMEOUT_S"),
        ({"ALLOTROPE_OPENAI__TIMEOUT_S": "-1"}, "ALLOTROPE_OPENAI__TIMEOUT_S"),
        ({"ALLOTROPE_OPENIA__MODEL": "o3"}, "ALLOTROPE_OPENIA"),
        ({"OPENAI_BASE_URL": "not a url"}, "OPENAI_BASE_URL"),
        ({"ALLOTROPE_OPENAI": "{broken"}, "ALLOTROPE_OPENAI looks like JSON"),
        ({"OPENAI_API_KEY_FILE": "/does/not/exist"}, "OPENAI_API_KEY_FILE"),
    ],
)
def test_a_malformed_setting_is_named(tmp_path: Path, environ: dict[str, str], told: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load(tmp_path, **environ)
    assert told in str(raised.value)


def test_a_malformed_secret_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        load(tmp_path, ALLOTROPE_REDIS__URL='{"secret": "hunter2"}')
    assert "hunter2" not in str(raised.value)
