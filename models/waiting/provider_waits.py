"""How long a provider asks to wait, from its response headers."""

import email.utils
import math
import re
from collections.abc import Mapping

LONGEST_WAIT_S = 86_400.0
"""A provider that asks for more than a day is taken to ask for a day."""


def retry_after(headers: Mapping[str, str], *, now_s: float, limited: bool) -> float | None:
    """How long the provider asks to wait.

    Args:
        headers: Response headers, names in lower case.
        now_s: Seconds since the epoch.
        limited: Whether the answer was a 429; only then the `x-ratelimit-reset-*` headers count,
            and of these only those whose allowance is used up.

    Returns:
        Seconds, at least 0 and at most a day; None where no header says so.
    """
    candidates: list[float | None] = []
    if "retry-after-ms" in headers:
        ms = _number(headers["retry-after-ms"])
        candidates.append(None if ms is None else ms / 1000)
    if not any(c is not None for c in candidates) and "retry-after" in headers:
        value = headers["retry-after"].strip()
        seconds = _number(value)
        if seconds is None:
            try:
                seconds = email.utils.parsedate_to_datetime(value).timestamp() - now_s
            except (ValueError, TypeError, OverflowError):
                seconds = None
        candidates.append(seconds)
    if limited and not any(c is not None for c in candidates):
        for what in ("requests", "tokens"):
            left = _number(headers.get(f"x-ratelimit-remaining-{what}", ""))
            if left is not None and left <= 0:
                candidates.append(_duration(headers.get(f"x-ratelimit-reset-{what}", "")))
    known = [c for c in candidates if c is not None]
    return min(max(0.0, *known), LONGEST_WAIT_S) if known else None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _duration(text: str) -> float | None:
    """`1s`, `6m0s`, `20ms`, `1h2m3s` (OpenAI's form, which is Go's) or bare seconds."""
    bare = _number(text)
    if bare is not None:
        return bare
    parts = re.findall(r"(?<![\d.])([\d.]++)(ms|us|µs|ns|h|m|s)", text)
    if not parts or "".join(n + u for n, u in parts) != text.strip():
        return None
    unit = {"h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
    numbers = [(_number(n), unit[u]) for n, u in parts]
    return sum(n * u for n, u in numbers if n is not None)
