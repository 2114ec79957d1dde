"""Every model in use: its roles, users, end, successor, cost, abilities, and what was learnt."""

from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from allotrope.exceptions import StoreError
from allotrope.models.catalogue.daily import end_in_words
from allotrope.models.catalogue.facts import ModelNote, Repair
from allotrope.models.catalogue.lifecycle import End, Lifecycles, lifecycles_of
from allotrope.models.catalogue.roles import models_by_role, set_by_settings
from allotrope.models.profiles.choices import open_choices
from allotrope.models.profiles.library import open_profiles
from allotrope.models.providers.capabilities import capabilities_of
from allotrope.settings import Settings
from allotrope.succession.costs import CostFinder, Costs
from allotrope.succession.names import unknown_name
from allotrope.succession.users import Users, users_by_model
from allotrope.usage.ledger.ledger import Ledger, open_ledger
from allotrope.usage.prices.prices import PriceBook

if TYPE_CHECKING:
    from allotrope.succession.canary import Canary


@dataclass(frozen=True)
class Ability:
    """What a model is asked with.

    Attributes:
        efforts: Reasoning efforts it takes, lowest first.
        endpoint: `chat` or `responses`.
        tried: When it first answered here; None: not yet.
        learnt: What was learnt of it here.
    """

    efforts: tuple[str, ...]
    endpoint: str
    tried: datetime | None
    learnt: ModelNote

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "efforts": list(self.efforts),
            "endpoint": self.endpoint,
            "tried": None if self.tried is None else self.tried.isoformat(timespec="seconds"),
        }


@dataclass(frozen=True)
class ModelInUse:
    """One model that roles or profiles name.

    Attributes:
        name: As it is named.
        roles: The roles it has; none where profiles name it themselves.
        set_by: By role, what gives it the model: a setting, a person, or the catalogue.
        users: Who uses it.
        end: Its announced end; None: none is known.
        days_left: Days until then, 0 or less once it has come.
        ended: Why it no longer serves: `date`, `retired` or `refused`; None: it does.
        serving: The model that answers now.
        successor: The one that takes over from that; None: there is none.
        costs: Prices and a mean turn of `serving` and `successor`.
        ability: What `serving` is asked with.
        successor_ability: The same of `successor`.
        sentence: Its end in words; empty where none is near or known.
    """

    name: str
    roles: tuple[str, ...]
    set_by: Mapping[str, str]
    users: Users
    end: End | None
    days_left: int | None
    ended: str | None
    serving: str
    successor: str | None
    costs: Costs
    ability: Ability
    successor_ability: Ability | None
    sentence: str

    @property
    def learnt(self) -> list[tuple[datetime, str, str]]:
        """What was learnt of who serves and of the successor: when, of which, and a sentence."""
        found: list[tuple[datetime, str, str]] = []
        later = self.successor_ability
        noted = {self.serving: self.ability.learnt}
        if later is not None and self.successor is not None:
            noted[self.successor] = later.learnt
        for model, note in noted.items():
            found += [(repair.at, model, repair.sentence(model)) for repair in note.repairs]
        return sorted(found)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        later = self.successor_ability
        return {
            "roles": list(self.roles),
            "model": self.name,
            "set_by": dict(self.set_by),
            "used_by": self.users.to_json(),
            "end": None
            if self.end is None
            else {"date": self.end.day.isoformat(), "source": self.end.source},
            "days_left": self.days_left,
            "ended": self.ended,
            "serving": self.serving,
            "successor": self.successor,
            **self.costs.to_json(),
            **self.ability.to_json(),
            "successor_ability": None if later is None else later.to_json(),
            "learnt": [
                {"at": at.isoformat(timespec="seconds"), "model": model, "sentence": sentence}
                for at, model, sentence in self.learnt
            ],
            "sentence": self.sentence or None,
        }


@dataclass(frozen=True)
class ModelsOverview:
    """All models in use.

    Attributes:
        today: The day that ends are judged by.
        policy: `auto`, `warn` or `off`.
        asked: When the provider's list was fetched; None: never.
        models: Those that end first come first.
        notes: What people should know besides: a clock that is off, Azure, prices to set.
        canaries: The shares of conversations that get another model.
    """

    today: date
    policy: str
    asked: datetime | None
    models: Sequence[ModelInUse]
    notes: Sequence[str]
    canaries: Sequence["Canary"] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "today": self.today.isoformat(),
            "succession": self.policy,
            "list_asked": None if self.asked is None else self.asked.isoformat(timespec="seconds"),
            "models": [model.to_json() for model in self.models],
            "canaries": [canary.to_json() for canary in self.canaries],
            "notes": list(self.notes),
        }


def models_overview(settings: Settings, *, ledger: bool = True) -> ModelsOverview:
    """Everything about the models in use; reads notes, profiles and the ledger, and blocks.

    Args:
        settings: Whose models.
        ledger: Whether turns' costs are taken from the ledger.

    Raises:
        SettingsError: The person's own catalogue or a profile is broken.
    """
    lifecycles = lifecycles_of(settings)
    document = lifecycles.notes.read()
    promoted = open_choices(settings).roles()
    roles = models_by_role(settings, promoted)
    library = open_profiles(settings.with_section("profiles", reload_s=None))
    try:
        users, problems = users_by_model(settings, library)
    finally:
        library.close()
    notes = [*state_notes(settings, lifecycles), *problems]
    names = dict.fromkeys([*roles.values(), *users])
    opened: Ledger | None = None
    if ledger and settings.usage.enabled:
        try:
            opened = open_ledger(settings)
        except StoreError as exc:
            notes.append(f"Turns' costs are nominal: {exc}")
    with nullcontext() if opened is None else closing(opened):
        finder = CostFinder(PriceBook(settings.usage.prices, quiet=True), lifecycles, opened)
        found = [
            _in_use(
                settings,
                lifecycles,
                finder,
                name,
                {
                    role: set_by_settings(role, settings)
                    or ("a promotion" if role in promoted else "the catalogue")
                    for role, model in roles.items()
                    if model == name
                },
                users.get(name, Users()),
            )
            for name in names
        ]
    notes += [told for model in found for told in _refused(lifecycles, model)]
    if not lifecycles.azure:
        notes += [told for model in found if (told := unknown_name(lifecycles, model.name))]
    found.sort(key=lambda each: (each.days_left is None, each.days_left or 0))
    notes += _missing_prices(found)
    listing = document.listing
    return ModelsOverview(
        today=lifecycles.today(),
        policy=lifecycles.policy,
        asked=None if listing is None else listing.at,
        models=found,
        notes=tuple(dict.fromkeys(notes)),
        canaries=_canaries(settings),
    )


def _canaries(settings: Settings) -> "Sequence[Canary]":
    from allotrope.experiments.online.turns import TurnExperiments

    if not TurnExperiments(settings).present:  # most never ran an experiment
        return ()
    from allotrope.succession.canary import canaries

    return canaries(settings)


def state_notes(settings: Settings, lifecycles: Lifecycles) -> list[str]:
    """What keeps ends from being known or successors from answering, in sentences."""
    if not settings.openai.enabled or settings.openai.api_key is None:
        return ["No OpenAI key is set: none of these models is asked."]
    if lifecycles.azure:
        return [
            "These are deployments of Azure OpenAI: of their names no end and no successor is "
            "known. Look into Azure's portal."
        ]
    found = []
    if offset := lifecycles.clock_offset_s():
        days = abs(offset) / 86_400
        found.append(
            f"This machine's clock is {days:,.0f} days {'behind' if offset > 0 else 'ahead of'} "
            "the provider's; ends are judged by the provider's day. Set the clock."
        )
    listing = lifecycles.notes.document.listing
    if listing is not None:
        found += listing.problems
    if lifecycles.policy != "auto":
        found.append(
            f"ALLOTROPE_OPENAI__SUCCESSION is {lifecycles.policy}: when a model ends, no successor "
            "answers."
        )
    return found


def _refused(lifecycles: Lifecycles, model: ModelInUse) -> list[str]:
    """A sentence for each successor that refused this account."""
    return [
        f"{name} was refused here on {gone.at:%Y-%m-%d}: {gone.said}"
        for name in lifecycles.line(model.name)[1:]
        if (gone := lifecycles.notes.note(name).gone) is not None
        and lifecycles.gone(name) is not None
    ]


def _in_use(
    settings: Settings,
    lifecycles: Lifecycles,
    finder: CostFinder,
    name: str,
    set_by: Mapping[str, str],
    users: Users,
) -> ModelInUse:
    serving = lifecycles.serving(name)
    successor = lifecycles.next_after(serving)
    end, ended = lifecycles.end(name), lifecycles.ended(name)
    return ModelInUse(
        name=name,
        roles=tuple(set_by),
        set_by=set_by,
        users=users,
        end=end,
        days_left=lifecycles.days_left(name),
        ended=ended,
        serving=serving,
        successor=successor,
        costs=finder.costs(serving, successor),
        ability=_ability(settings, lifecycles, serving),
        successor_ability=None if successor is None else _ability(settings, lifecycles, successor),
        sentence=end_in_words(lifecycles, name) if ended or end else "",
    )


def _ability(settings: Settings, lifecycles: Lifecycles, model: str) -> Ability:
    note = lifecycles.notes.note(model)
    can = capabilities_of(model, catalogue=lifecycles.catalogue)
    learnt = {repair.parameter: repair for repair in note.repairs}
    endpoint: str = can.endpoint or "chat"
    if settings.openai.use_responses_api is not None:
        endpoint = "responses" if settings.openai.use_responses_api else "chat"
    if "endpoint" in learnt:
        endpoint = str(learnt["endpoint"].value)
    return Ability(_efforts(can.efforts, note.repairs), endpoint, note.tried, note)


def _efforts(known: Sequence[str], repairs: Sequence[Repair]) -> tuple[str, ...]:
    of_effort = [repair for repair in repairs if repair.parameter == "reasoning_effort"]
    if any(repair.refused is None for repair in of_effort):
        return ()
    refused = {repair.refused for repair in of_effort}
    return tuple(effort for effort in known if effort not in refused)


def _missing_prices(models: Sequence[ModelInUse]) -> list[str]:
    unknown = dict.fromkeys(
        name
        for model in models
        for name, price in ((model.serving, model.costs.now), (model.successor, model.costs.then))
        if name is not None and price is None
    )
    return [
        f"No price is known for {name}: its cost is recorded as null. Set ALLOTROPE_USAGE__PRICES="
        f'\'[{{"model": "{name}", "input": 2, "output": 10}}]\' (USD per million tokens).'
        for name in unknown
    ]
