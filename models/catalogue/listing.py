"""The provider's own list of models (`GET /v1/models`), with the ends it announces."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from allotrope.exceptions import InputError, SettingsError
from allotrope.models.catalogue.facts import Listing
from allotrope.settings.sections import OpenAISettings
from allotrope.stores.errors import error_name

MOST = 5_000
"""More models than any provider lists; the rest is left out."""
OPENAI_URL = "https://api.openai.com/v1"


class ListingRefusedError(InputError):
    """The provider gave no list of models; the message says why."""


def fetch_listing(
    settings: OpenAISettings,
    *,
    timeout_s: float = 10.0,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Listing:
    """Asks the provider for its models; blocks.

    Args:
        settings: Key and address.
        timeout_s: Seconds to wait for the whole answer.
        clock: The time of day, with a time zone.

    Returns:
        The list. What of it couldn't be read stands in its `problems`.

    Raises:
        SettingsError: There is no key.
        ListingRefusedError: The provider can't be reached, or answers with no list.
    """
    import httpx2

    from allotrope.models.providers.http import tls
    from allotrope.support.exchanges import limit

    if settings.api_key is None:
        raise SettingsError("There is no OpenAI key.", hint="Set OPENAI_API_KEY.")
    address = f"{(settings.base_url or OPENAI_URL).rstrip('/')}/models"
    headers = {"Authorization": f"Bearer {settings.api_key.get_secret_value()}"}
    if settings.organization:
        headers["OpenAI-Organization"] = settings.organization
    try:
        with httpx2.Client(verify=tls(), timeout=timeout_s) as client:
            limit(client, timeout_s, once=True)
            response = client.get(address, headers=headers)
    except httpx2.HTTPError as exc:
        raise ListingRefusedError(
            f"The list of models can't be fetched: {error_name(exc)}.",
            hint="Check the network and the base URL; `allotrope doctor` does.",
        ) from exc
    now = clock()
    offset = _clock_offset_s(response.headers.get("date"), now)
    if response.status_code in (404, 405, 501):
        told = "This provider has no list of models; ends are judged by our catalogue."
        return Listing(at=now, clock_offset_s=offset, problems=(told,))
    if response.status_code != 200:
        raise ListingRefusedError(
            f"The provider refused its list of models (HTTP {response.status_code}).",
            hint="Check the key; `allotrope doctor` does.",
        )
    try:
        rows = response.json()["data"]
        named = [row for row in rows if isinstance(row["id"], str)]
    except (ValueError, KeyError, TypeError) as exc:
        raise ListingRefusedError("The provider's list of models can't be read.") from exc
    problems: list[str] = []
    models = {row["id"].lower()[:200]: _end_of(row, problems) for row in named[:MOST]}
    return Listing(at=now, models=models, clock_offset_s=offset, problems=tuple(problems[:20]))


def _end_of(row: dict[str, Any], problems: list[str]) -> str | None:
    """The end of a listed model; None: none is announced; empty: the list doesn't say."""
    if "shutdown_date" not in row:
        return ""
    told = row["shutdown_date"]
    if told is None:
        return None
    try:
        return date.fromisoformat(str(told)[:10]).isoformat()
    except ValueError:
        problems.append(
            f"The provider names {str(told)[:40]!r} as the end of {row['id'][:80]}, which is no "
            f"date; our catalogue counts."
        )
        return ""


def _clock_offset_s(header: str | None, now: datetime) -> float:
    """The provider's clock less ours, in seconds; 0 where it tells none."""
    if not header:
        return 0.0
    try:
        return round((parsedate_to_datetime(header) - now).total_seconds(), 1)
    except (ValueError, TypeError):
        return 0.0
