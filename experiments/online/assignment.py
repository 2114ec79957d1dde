"""Which unit gets which variant: pure functions of a salted hash, so the answer never changes."""

import hashlib
from collections.abc import Sequence

from allotrope.experiments.definition import Experiment, Variant


def position(*, salt: str, unit: str) -> float:
    """Where a unit falls between 0 (included) and 1 (excluded); uniform over units.

    Args:
        salt: Different salts give independent positions.
        unit: The unit's id.
    """
    # The length keeps ("ab", "c") and ("a", "bc") apart.
    text = f"{len(salt)}:{salt}:{unit}".encode()
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53


def assign(experiment: Experiment, unit: str) -> Variant | None:
    """The variant of a unit; None where the layer gives the unit to another experiment.

    Args:
        experiment: The experiment.
        unit: The unit's id, such as `tenant/user`.
    """
    start, end = experiment.layer_slot
    if experiment.layer is not None or (start, end) != (0.0, 1.0):
        layer = experiment.layer or experiment.name
        if not start <= position(salt=f"layer:{layer}", unit=unit) < end:
            return None
    place = position(salt=f"variant:{experiment.salt or experiment.name}", unit=unit)
    return at(experiment.variants, place)


def at(variants: Sequence[Variant], place: float) -> Variant:
    """The variant whose slice of the line from 0 to 1 holds `place`.

    Args:
        variants: In the order of the file.
        place: From 0 (included) to 1 (excluded).
    """
    edge = 0.0
    for variant in variants:
        edge += variant.share
        if place < edge:
            return variant
    return variants[-1]  # the shares' sum may fall a rounding error short of 1


def overlapping(first: Experiment, second: Experiment) -> bool:
    """Whether two experiments claim the same units of the same layer.

    Args:
        first: One experiment.
        second: Another.
    """
    if first.layer is None or first.layer != second.layer:
        return False
    return first.layer_slot[0] < second.layer_slot[1] and second.layer_slot[0] < first.layer_slot[1]
