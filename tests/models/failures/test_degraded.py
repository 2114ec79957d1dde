"""The exact sentences people read."""

import pytest

from allotrope import exceptions as ours
from allotrope.models.failures.degraded import cut_short, degraded, nobody, refusal, wait_in_words


def e(kind: type[ours.ProviderError], provider: str = "openai", **more: object):
    model = {"openai": "o3", "ollama": "llama3.1"}.get(provider, "SmolLM2")
    return kind("x", provider=provider, model=model, **more)  # type: ignore[arg-type]  # fields of the error


SENTENCES = [
    (e(ours.RateLimitedError, retry_after_s=42), "OpenAI is rate-limited, next try in 42 s"),
    (
        e(ours.CircuitOpenError, code="RateLimitedError", retry_after_s=41.2),
        "OpenAI is rate-limited, next try in 42 s",
    ),
    (
        e(ours.CircuitOpenError, code="failure_rate (ProviderTimeoutError)", retry_after_s=100),
        "OpenAI doesn't answer in time, next try in 2 min",
    ),
    (
        e(ours.CircuitOpenError, code="ProviderUnavailableError"),
        "OpenAI has a server error, being tested again now",
    ),
    (
        e(ours.CircuitOpenError, code="slow_rate", retry_after_s=5),
        "OpenAI answers too slowly, next try in 5 s",
    ),
    (e(ours.CircuitOpenError, code="isolated"), "OpenAI is switched off by an operator"),
    (
        e(ours.QuotaExhaustedError, retry_after_s=3600),
        "OpenAI has no credit left on this account, next try in 1 h",
    ),
    (e(ours.UnknownModelError), "OpenAI has no model o3"),
    (e(ours.ProviderUnreachableError, code="cut"), "OpenAI cut the connection"),
    (e(ours.ProviderUnreachableError, "ollama", code="connect"), "Ollama can't be reached"),
    (e(ours.UnexpectedProviderError, "embedded", code="setup"), "The embedded model isn't set up"),
]


@pytest.mark.parametrize(("error", "sentence"), SENTENCES)
def test_states(error: ours.ProviderError, sentence: str) -> None:
    told = degraded([error], provider="ollama", model="llama3.1")
    assert told is not None
    assert told["message"] == f"{sentence}; answered by llama3.1 on Ollama."


def test_nothing_wrong_nothing_said() -> None:
    assert degraded([], provider="openai", model="o3") is None


def test_a_misspelt_model_is_said_though_another_answers() -> None:
    error = e(ours.UnknownModelError, hint="Did you mean 'gpt-5.6-terra'?")
    found = degraded([error], provider="ollama", model="llama3.1")
    assert found is not None
    told = "OpenAI has no model o3; answered by llama3.1 on Ollama. Did you mean 'gpt-5.6-terra'?"
    assert found["message"] == told
    gone = e(ours.UnknownModelError, hint="Choose another model.")  # one did answer
    found = degraded([gone], provider="ollama", model="llama3.1")
    assert found is not None
    assert found["message"] == "OpenAI has no model o3; answered by llama3.1 on Ollama."


def test_two_failures_and_the_embedded_model() -> None:
    failures = [
        e(ours.RateLimitedError, retry_after_s=42),
        e(ours.ProviderUnreachableError, "ollama", code="connect"),
    ]
    told = degraded(failures, provider="embedded", model="SmolLM2-135M-Instruct")
    assert told == {
        "reason": "RateLimitedError",
        "message": "OpenAI is rate-limited, next try in 42 s; Ollama can't be reached; answered by "
        "the embedded model SmolLM2-135M-Instruct.",
        "retry_after_s": 42,
    }
    assert nobody(failures) == (
        "No model can answer now: OpenAI is rate-limited, next try in 42 s; "
        "Ollama can't be reached."
    )
    assert refusal("Deep research", failures[:1]) == (
        "Deep research isn't available now and has no local substitute: "
        "OpenAI is rate-limited, next try in 42 s."
    )
    assert cut_short(e(ours.ProviderTimeoutError))["message"] == (
        "OpenAI doesn't answer in time; the answer above is incomplete."
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "1 s"), (0.2, "1 s"), (42, "42 s"), (89.1, "90 s"), (91, "2 min"), (301, "6 min"),
     (3600, "1 h"), (3960, "2 h")],
)  # fmt: skip
def test_waits(seconds: float, words: str) -> None:
    assert wait_in_words(seconds) == words
