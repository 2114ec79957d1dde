"""Do the profiles exist that budgets switch to? Asked at the start, and again at each switch."""

from typing import TYPE_CHECKING

from allotrope.exceptions import AllotropeError, SettingsError
from allotrope.settings import Settings

if TYPE_CHECKING:
    from allotrope.models.profiles.library import ProfileLibrary


def check_budget_profiles(settings: Settings) -> None:
    """Makes sure that each profile a budget switches to is there; reads nothing without such.

    Args:
        settings: Budgets, profiles and models.

    Raises:
        SettingsError: One isn't there, or the model refuses it.
    """
    wanted = {
        threshold.profile: budget.name
        for budget in settings.usage.budgets
        for threshold in budget.thresholds
        if threshold.action == "switch_profile" and threshold.profile
    }
    if not wanted:
        return
    from allotrope.models.profiles.library import open_profiles

    profiles = open_profiles(settings)
    try:
        for profile, budget in wanted.items():
            try:
                check_profile(profiles, profile, settings)
            except AllotropeError as exc:
                raise SettingsError(
                    f"The budget {budget!r} switches to the profile {profile!r}, which can't be "
                    f"used: {exc}",
                    hint="Name another in ALLOTROPE_USAGE__BUDGETS.",
                ) from exc
    finally:
        profiles.close()


def check_profile(profiles: "ProfileLibrary", name: str, settings: Settings) -> None:
    """Makes sure that a profile is there and that the models take it.

    Args:
        profiles: Where it should be.
        name: Its name.
        settings: The models.

    Raises:
        ProfileError: It isn't, or they don't.
    """
    from allotrope.models.profiles.library import with_profile
    from allotrope.models.profiles.parameters import chain_arguments

    profile = profiles.get(name)
    chain_arguments(profile, with_profile(settings, profile))
