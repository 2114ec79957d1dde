"""Names of models that nobody knows, and the known ones that they may be meant for."""

from difflib import get_close_matches

from allotrope.models.catalogue.lifecycle import Lifecycles
from allotrope.models.providers.capabilities import resolve


def near_name(lifecycles: Lifecycles, name: str) -> str | None:
    """A model we know whose name is much like one we don't."""
    listing = lifecycles.notes.document.listing
    names = [*lifecycles.catalogue.models, *(listing.models if listing else ())]
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    return near[0] if near else None


def unknown_name(lifecycles: Lifecycles, name: str) -> str | None:
    """A sentence on a name that nobody knows; None where somebody does.

    Args:
        lifecycles: The catalogue, the provider's list, and what answered here.
        name: As settings or profiles have it.
    """
    if lifecycles.known(name) or resolve(name)[0] is not None:
        return None
    near = near_name(lifecycles, name)
    meant = f" Did you mean {near!r}?" if near else ""
    return (
        f"Nobody knows a model {name!r}.{meant} If it is new, `allotrope models refresh` asks the "
        "provider for its list."
    )
