"""Giving a role another model, and taking that back; refused where it would do nothing good."""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from allotrope.exceptions import InputError
from allotrope.models.catalogue.daily import end_in_words
from allotrope.models.catalogue.entries import open_catalogue
from allotrope.models.catalogue.lifecycle import Lifecycles, lifecycles_of
from allotrope.models.catalogue.roles import models_by_role, set_by_settings
from allotrope.models.profiles.choices import open_choices
from allotrope.settings import Settings
from allotrope.succession.costs import CostFinder, Costs
from allotrope.succession.names import unknown_name
from allotrope.usage.ledger.ledger import open_ledger
from allotrope.usage.prices.prices import PriceBook


@dataclass(frozen=True)
class RoleChange:
    """What a promotion changed.

    Attributes:
        role: The role.
        before: Its model until now.
        after: Its model from now on.
        costs: `now` is the price of `before`, `then` that of `after`.
    """

    role: str
    before: str
    after: str
    costs: Costs

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "role": self.role,
            "from": self.before,
            "to": self.after,
            **self.costs.to_json(),
        }


def promote(settings: Settings, role: str, to: str, *, by: str) -> RoleChange:
    """Gives a role another model, for every process that shares the folder of profiles.

    Args:
        settings: Whose roles.
        role: Which.
        to: The model.
        by: Who does it.

    Raises:
        InputError: Nobody knows the role or the model, a setting names the role's model, the model
            has ended, or it is a role itself.
    """
    lifecycles = lifecycles_of(settings)
    lifecycles.notes.read()
    before = _changeable(settings, role)
    check_model(settings, lifecycles, role, to)
    if to == before:
        raise InputError(f"{role} has the model {to} already; nothing was changed.")
    open_choices(settings).promote(role, to, by=by, why="promoted")
    return _change(settings, lifecycles, role, before, to)


def undo(settings: Settings, role: str, *, by: str) -> RoleChange:
    """Takes the latest promotion of a role back.

    Args:
        settings: Whose roles.
        role: Which.
        by: Who does it.

    Raises:
        InputError: Nobody knows the role, or it has no promotion.
    """
    lifecycles = lifecycles_of(settings)
    lifecycles.notes.read()
    before = _changeable(settings, role)
    choices = open_choices(settings)
    latest = choices.last_promotion(role)
    if latest is None or role not in choices.roles():
        raise InputError(f"There is no promotion of {role} to take back; nothing was changed.")
    choices.promote(role, latest.was, by=by, why="undone")
    return _change(settings, lifecycles, role, before, models_by_role(settings)[role])


def model_now(settings: Settings, role: str) -> str:
    """The model that a role has.

    Args:
        settings: Whose roles.
        role: Which.

    Raises:
        InputError: There is no such role.
    """
    roles = models_by_role(settings)
    if role not in roles:
        near = get_close_matches(role, roles, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(roles)}."
        raise InputError(f"There is no role {role!r}.", hint=hint)
    return roles[role]


def _changeable(settings: Settings, role: str) -> str:
    """The model that a role has, where a promotion can change it."""
    model = model_now(settings, role)
    if (setting := set_by_settings(role, settings)) is not None:
        raise InputError(
            f"{setting} names the model of {role} ({model}), and settings win over a promotion.",
            hint="Change that setting, or take it away; nothing was changed.",
        )
    return model


def check_model(settings: Settings, lifecycles: Lifecycles, role: str, to: str) -> None:
    """Refuses a model that a role can't have.

    Args:
        settings: Whose roles.
        lifecycles: Who knows which model.
        role: The role.
        to: The model.

    Raises:
        InputError: It is a role, nobody knows it, or it has ended.
    """
    catalogue = open_catalogue(settings.openai.catalogue)
    if to in catalogue.roles or to in settings.openai.roles:
        if _follows(catalogue.roles, to, role):
            raise InputError(
                f"{to} follows {role}: the roles would follow each other in a circle.",
                hint="Name a model.",
            )
        raise InputError(
            f"{to!r} is a role, not a model.",
            hint=f"Its model is {models_by_role(settings).get(to)}.",
        )
    if (unknown := unknown_name(lifecycles, to)) is not None:
        raise InputError(f"{unknown} Nothing was changed.")
    if lifecycles.ended(to) is not None:
        raise InputError(
            f"{end_in_words(lifecycles, to)} Nothing was changed.", hint="Promote another model."
        )


def _follows(roles: Any, start: str, role: str) -> bool:
    while start in roles:
        if start == role:
            return True
        start = roles[start]
    return False


def _change(
    settings: Settings, lifecycles: Lifecycles, role: str, before: str, after: str
) -> RoleChange:
    with open_ledger(settings) as ledger:
        finder = CostFinder(PriceBook(settings.usage.prices, quiet=True), lifecycles, ledger)
        costs = finder.costs(lifecycles.serving(before), lifecycles.serving(after))
    return RoleChange(role=role, before=before, after=after, costs=costs)
