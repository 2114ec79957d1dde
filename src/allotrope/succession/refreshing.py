"""Asking the provider for its list of models now, and what that says of the models in use."""

from dataclasses import dataclass
from typing import Any

from allotrope.exceptions import InputError
from allotrope.models.catalogue.daily import ending_soon
from allotrope.models.catalogue.facts import Listing
from allotrope.models.catalogue.lifecycle import bare_name, lifecycles_of
from allotrope.models.catalogue.listing import fetch_listing
from allotrope.models.catalogue.roles import models_by_role
from allotrope.settings import Settings
from allotrope.succession.overview import state_notes


@dataclass(frozen=True)
class Refreshed:
    """What the provider said.

    Attributes:
        listing: Its list.
        missing: Models in use that the list doesn't have.
        sentences: Ends that are near or have come, and what couldn't be read.
    """

    listing: Listing
    missing: tuple[str, ...]
    sentences: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "asked": self.listing.at.isoformat(timespec="seconds"),
            "models": len(self.listing.models),
            "announced_ends": sum(1 for end in self.listing.models.values() if end),
            "missing": list(self.missing),
            "notes": list(self.sentences),
        }


def refresh(settings: Settings) -> Refreshed:
    """Asks the provider now, and keeps its list for every process; blocks.

    Args:
        settings: Key and address.

    Raises:
        InputError: These are Azure deployments, or the provider gave no list.
        SettingsError: There is no key.
    """
    lifecycles = lifecycles_of(settings)
    if lifecycles.azure:
        raise InputError(state_notes(settings, lifecycles)[0])
    listing = fetch_listing(settings.openai)
    lifecycles.notes.read()
    lifecycles.notes.list(listing)
    names = dict.fromkeys(models_by_role(settings).values())
    missing = tuple(
        name
        for name in names
        if listing.models
        and bare_name(name)[1] not in listing.models
        and lifecycles.key(name) not in listing.models
    )
    told = [*state_notes(settings, lifecycles), *ending_soon(lifecycles, list(names))]
    return Refreshed(listing, missing, tuple(told))
