"""Which model a role has: the settings' word, then a person's promotion, then the catalogue's."""

from collections.abc import Mapping

from allotrope.models.catalogue.entries import PRIMARY, Catalogue, open_catalogue
from allotrope.settings import Settings


def model_of_role(
    role: str,
    settings: Settings,
    *,
    catalogue: Catalogue,
    promoted: Mapping[str, str],
) -> str | None:
    """The model of a role; None where nobody knows the role.

    Args:
        role: `primary`, `economical`, `judge` or one of a person's own.
        settings: `openai.roles` and, for `primary`, an `openai.model` that was set.
        catalogue: The packaged roles, and which role follows which.
        promoted: What people chose by `allotrope models promote`.
    """
    own = settings.openai
    seen: set[str] = set()
    while role not in seen:
        seen.add(role)
        if role in own.roles:
            return own.roles[role]
        if role == PRIMARY and "model" in own.model_fields_set:
            return own.model
        if role in promoted:
            return promoted[role]
        following = catalogue.roles.get(role)
        if following is None:
            return None
        if following not in catalogue.roles:
            return following
        role = following
    return None


def set_by_settings(role: str, settings: Settings) -> str | None:
    """The setting that names a role's model, which a promotion can't change; None where none does.

    Args:
        role: Which.
        settings: The settings.
    """
    if role in settings.openai.roles:
        return f"ALLOTROPE_OPENAI__ROLES__{role.upper()}"
    if role == PRIMARY and "model" in settings.openai.model_fields_set:
        return "ALLOTROPE_OPENAI__MODEL"
    return None


def models_by_role(settings: Settings, promoted: Mapping[str, str] | None = None) -> dict[str, str]:
    """The model of every role that catalogue and settings know.

    Args:
        settings: The settings.
        promoted: What people chose; default: read from disk.
    """
    catalogue = open_catalogue(settings.openai.catalogue)
    if promoted is None:
        from allotrope.models.profiles.choices import open_choices

        promoted = open_choices(settings).roles()
    names = [*catalogue.roles, *settings.openai.roles]
    found = {
        role: model_of_role(role, settings, catalogue=catalogue, promoted=promoted)
        for role in dict.fromkeys(names)
    }
    return {role: model for role, model in found.items() if model is not None}
