"""What temperature and the longest answer do on the embedded model: diversity, time, tokens."""

import itertools
import statistics
import sys
import time
from typing import Any

from _form import arguments, show, write_json

from allotrope.models.profiles.parameters import plan_for
from allotrope.models.profiles.profile import Profile
from allotrope.models.providers.embedded import build_embedded
from allotrope.settings import load_settings

PROMPT = "Write one sentence about the sea."


def distinct(texts: list[str]) -> float:
    """Share of word pairs that occur once only over all texts (distinct-2, Li et al. 2016)."""
    pairs = [pair for text in texts for pair in itertools.pairwise(text.lower().split())]
    return len(set(pairs)) / max(1, len(pairs))


def run(count: int, **fields: Any) -> tuple[list[str], list[float], list[int]]:
    """Answers, seconds and output tokens of `count` calls with a profile of these fields."""
    settings = load_settings(environ={}, env_file=None)
    texts, seconds, tokens = [], [], []
    for seed in range(count):
        profile = Profile(name="tried", description="Tried.", seed=seed, **fields)
        model = build_embedded(
            settings.embedded, **plan_for(profile, "embedded", "embedded").arguments
        )
        began = time.perf_counter()
        reply = model.invoke(PROMPT)
        seconds.append(time.perf_counter() - began)
        texts.append(reply.text)
        tokens.append((reply.usage_metadata or {}).get("output_tokens", 0))
    return texts, seconds, tokens


def main() -> int:
    """Runs both tables."""
    options = arguments("Effect of parameters on the embedded model.").parse_args()
    count = 3 if options.quick else 12
    words = 12 if options.quick else 32
    run(1, max_output_tokens=4)
    results: dict[str, Any] = {}
    rows = []
    for temperature in (0.0, 1.0) if options.quick else (0.0, 0.3, 0.7, 1.0, 1.5):
        texts, _, _ = run(count, temperature=temperature, max_output_tokens=words)
        cell = {"distinct_answers": len(set(texts)), "of": count, "distinct_2": distinct(texts)}
        results[f"temperature {temperature}"] = cell
        rows.append((temperature, f"{cell['distinct_answers']} of {count}", cell["distinct_2"]))
    show(
        f"Temperature (other seeds, {words} tokens)",
        ("temperature", "different answers", "distinct-2"),
        rows,
    )
    rows = []
    for longest in (4, 8, 16) if options.quick else (8, 16, 32, 64, 128):
        _, seconds, tokens = run(
            1 if options.quick else count // 2, temperature=1.0, max_output_tokens=longest
        )
        cell = {"seconds": statistics.median(seconds), "tokens": statistics.median(tokens)}
        results[f"max output {longest}"] = cell
        rows.append((longest, cell["tokens"], cell["seconds"]))
    show("Longest answer", ("max output", "tokens (median)", "seconds (median)"), rows)
    write_json(options.json, "parameters", results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
