"""What `allotrope doctor` checks: each part, whether it works, and what to do about it."""

import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from allotrope.exceptions import AllotropeError
from allotrope.settings import Settings

State = Literal["ok", "warning", "error", "off"]

PACKAGES = ("langchain-core", "langchain-openai", "langgraph", "openai", "ollama", "redis")
"""Packages whose versions matter in a bug report."""


@dataclass(frozen=True)
class CheckedPart:
    """One checked part.

    Attributes:
        part: What was checked.
        state: `ok`, `warning`, `error` or `off`.
        told: What was found.
        advice: What to do; empty when nothing is needed.
    """

    part: str
    state: State
    told: str
    advice: str = ""

    def as_dict(self) -> dict[str, str]:
        """Plain JSON values."""
        return asdict(self)


def examine(settings: Settings, *, timeout_s: float = 3.0) -> Iterator[CheckedPart]:
    """Checks everything, one finding at a time, so that a slow endpoint doesn't hide the others.

    Args:
        settings: What to check.
        timeout_s: Seconds an endpoint may take.
    """
    checks: tuple[Callable[[], CheckedPart], ...] = (
        lambda: _environment(settings),
        lambda: _key(settings),
        lambda: _openai(settings, timeout_s),
        lambda: _ollama(settings, timeout_s),
        lambda: _embedded(settings),
        lambda: _redis(settings),
        lambda: _folder(settings),
        lambda: _budgets(settings),
        _versions,
    )
    for check in checks:
        yield _without_secrets(check())
    for finding in (*_models(settings), *_postgres(settings, timeout_s)):
        yield _without_secrets(finding)
    if not any_model(settings):
        yield CheckedPart(
            "chain", "error", "no model can answer", "Set OPENAI_API_KEY, or enable a local model."
        )


def _without_secrets(finding: CheckedPart) -> CheckedPart:
    """Addresses may hold passwords and keys."""
    from allotrope.models.failures.errors import redact

    return replace(finding, told=redact(finding.told), advice=redact(finding.advice))


def any_model(settings: Settings) -> bool:
    """Whether the chain of these settings has any model."""
    from allotrope.models.providers.builtin import is_used

    openai = settings.openai.enabled and settings.openai.api_key is not None
    return openai or settings.embedded.enabled or is_used(settings)


def _environment(settings: Settings) -> CheckedPart:
    strict = ", strict" if settings.strict else ""
    return CheckedPart("environment", "ok", f"{settings.env}{strict}", "")


def _key(settings: Settings) -> CheckedPart:
    if not settings.openai.enabled:
        return CheckedPart("OpenAI key", "off", "OpenAI is switched off")
    key = settings.openai.api_key
    if key is None:
        return CheckedPart(
            "OpenAI key", "warning", "none", "Set OPENAI_API_KEY to be answered by OpenAI."
        )
    secret = key.get_secret_value()
    if secret != secret.strip() or not secret.isprintable():
        return CheckedPart("OpenAI key", "error", "set, with stray white space", "Set it again.")
    return CheckedPart("OpenAI key", "ok", f"set, {len(secret)} characters")


def _openai(settings: Settings, timeout_s: float) -> CheckedPart:
    section = settings.openai
    where = section.base_url or "api.openai.com"
    if not section.enabled or section.api_key is None:
        return CheckedPart("OpenAI endpoint", "off", f"{where} isn't asked without a key")
    import openai

    from allotrope.models.failures.errors import classify

    client = openai.OpenAI(
        api_key=section.api_key.get_secret_value(),
        base_url=section.base_url,
        organization=section.organization,
        max_retries=0,
        timeout=timeout_s,
    )
    try:
        models = {model.id for model in client.models.list()}
    except Exception as exc:  # noqa: BLE001 - whatever an endpoint does is what we report
        error = classify(exc, provider="openai", model=section.model)
        return CheckedPart(
            "OpenAI endpoint", "error", f"{where}: {error.message}", error.hint or ""
        )
    finally:
        client.close()
    from allotrope.models.breaker.status import serving_now

    try:
        _, serving = serving_now(settings)
    except AllotropeError:  # the models' own finding says it
        return CheckedPart("OpenAI endpoint", "ok", f"{where} answers")
    if serving not in models:
        return CheckedPart(
            "OpenAI endpoint",
            "warning",
            f"{where} answers, but lists no model {serving}",
            "Set ALLOTROPE_OPENAI__MODEL to one your key may use.",
        )
    return CheckedPart("OpenAI endpoint", "ok", f"{where} answers and has {serving}")


def _models(settings: Settings) -> Iterator[CheckedPart]:
    """A finding for each model in use, one for what was learnt of it, and one for each note."""
    if not settings.openai.enabled or settings.openai.api_key is None:
        return
    from allotrope.models.catalogue.daily import WARN_DAYS
    from allotrope.succession.overview import models_overview

    try:
        found = models_overview(settings, ledger=False)
    except AllotropeError as exc:
        yield CheckedPart("models", "error", exc.message, exc.hint or "")
        return
    for model in found.models:
        if not model.roles and model.ended is None and model.days_left is None:
            continue
        part = f"model {', '.join(model.roles) or model.name}"
        near = model.days_left is not None and model.days_left <= WARN_DAYS
        if model.sentence:
            look = "`allotrope models` shows what changes."
            state: State = "warning" if near or model.ended else "ok"
            yield CheckedPart(part, state, model.sentence, look if near else "")
        else:
            yield CheckedPart(part, "ok", f"{model.name}; no end is known")
        for at, name, sentence in model.learnt:
            advice = f"`allotrope models forget {name}` forgets it."
            yield CheckedPart("learnt", "ok", f"{sentence} ({at:%Y-%m-%d})", advice)
    for note in found.notes:
        yield CheckedPart("models", "warning", note)


def _ollama(settings: Settings, timeout_s: float) -> CheckedPart:
    section = settings.ollama
    if not section.enabled:
        return CheckedPart("Ollama", "off", "switched off")
    import ollama

    from allotrope.models.providers.builtin import is_used

    client = ollama.Client(host=section.host, timeout=timeout_s)
    try:
        names = [model.model or "" for model in client.list().models]
        if not any(_same_model(section.model, name) for name in names):
            has = ", ".join(sorted(names)) or "no model"
            return CheckedPart(
                "Ollama",
                "warning",
                f"{section.host} has {has}, not {section.model}",
                "Run `allotrope doctor --pull` to fetch it.",
            )
        shown = client.show(section.model)
    except Exception as exc:  # noqa: BLE001 - whatever an endpoint does is what we report
        told = "doesn't answer" if isinstance(exc, ConnectionError) else f"failed: {exc}"
        if not is_used(settings):
            advice = "To have it take over in an outage, start it, or set OLLAMA_HOST."
            return CheckedPart(
                "Ollama", "off", f"none at {section.host}, and none is set up", advice
            )
        return CheckedPart(
            "Ollama",
            "warning",
            f"{section.host} {told}",
            "Start it with `ollama serve`, set OLLAMA_HOST, or ALLOTROPE_OLLAMA__ENABLED=false.",
        )
    told, window = f"{section.host} has {section.model}", _window(shown.modelinfo)
    if shown.capabilities is not None and "tools" not in shown.capabilities:
        return CheckedPart(
            "Ollama",
            "warning",
            f"{told}, which can't call tools: agents get its answers without them",
            "Choose a model whose `ollama show` lists the capability `tools`, such as llama3.1.",
        )
    if window is None:
        return CheckedPart("Ollama", "ok", told)
    if section.num_ctx > window:
        return CheckedPart(
            "Ollama",
            "warning",
            f"{told} with {window} tokens of context, less than the {section.num_ctx} asked for",
            f"Set ALLOTROPE_OLLAMA__NUM_CTX={window}.",
        )
    return CheckedPart(
        "Ollama", "ok", f"{told}; {section.num_ctx} of {window} tokens of context used"
    )


def _same_model(wanted: str, name: str) -> bool:
    return name == wanted or name == f"{wanted}:latest"


def _window(info: Any) -> int | None:
    for name, value in dict(info or {}).items():
        if name.endswith(".context_length") and isinstance(value, int):
            return value
    return None


def _embedded(settings: Settings) -> CheckedPart:
    if not settings.embedded.enabled:
        return CheckedPart("embedded model", "off", "switched off")
    from importlib.util import find_spec

    from allotrope.models.providers.weights import find_weights, model_name

    try:
        path = find_weights(settings.embedded)
    except AllotropeError as exc:
        return CheckedPart("embedded model", "warning", exc.message, exc.hint or "")
    if find_spec("xllamacpp") is None:
        return CheckedPart(
            "embedded model", "warning", "xllamacpp is missing", "pip install xllamacpp"
        )
    size = path.stat().st_size / 1e6
    return CheckedPart("embedded model", "ok", f"{model_name(path)}, {size:.0f} MB")


def _redis(settings: Settings) -> CheckedPart:
    from allotrope.stores.redis.client import describe

    try:
        report = describe(settings)
    except AllotropeError as exc:
        return CheckedPart("Redis", "error", exc.message, exc.hint or "")
    told = f"{report.kind}, {report.address}" + (f", {report.version}" if report.version else "")
    if report.problem:
        return CheckedPart(
            "Redis",
            "error" if settings.strict else "warning",
            f"{told}: {report.problem}",
            "Turns go on without cache; check REDIS_URL.",
        )
    return CheckedPart("Redis", "ok", told)


def _postgres(settings: Settings, timeout_s: float) -> Iterator[CheckedPart]:
    from allotrope.stores.servers import look, postgres_servers

    for server in postgres_servers(settings):
        part = f"PostgreSQL ({', '.join(server.stores)})"
        found = look(server, timeout_s=timeout_s)
        if found.reason is None:
            yield CheckedPart(part, "ok", f"{found.where}, {found.version}")
        else:
            yield CheckedPart(part, "error", f"{found.where}: {found.reason}", found.advice)


def _folder(settings: Settings) -> CheckedPart:
    from allotrope.stores.folders import data_folder

    try:
        return CheckedPart("data folder", "ok", str(data_folder(settings)))
    except AllotropeError as exc:
        return CheckedPart("data folder", "error", exc.message, exc.hint or "")


def _budgets(settings: Settings) -> CheckedPart:
    from allotrope.models.profiles.budget_profiles import check_budget_profiles

    count = len(settings.usage.budgets)
    if not count:
        return CheckedPart("budgets", "off", "none are set")
    try:
        check_budget_profiles(settings)
    except AllotropeError as exc:
        return CheckedPart("budgets", "error", str(exc), exc.hint or "")
    return CheckedPart("budgets", "ok", f"{count} are set")


def _versions() -> CheckedPart:
    found = [f"Python {platform.python_version()}"]
    for name in ("allotrope", *PACKAGES):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} missing")
    return CheckedPart("versions", "ok", ", ".join(found))
