"""What the coder's steps tell the model, and which files of its reply are taken."""

from collections.abc import Mapping

from allotrope.exceptions import AllotropeError
from allotrope.graphs.work.coding.replies import without_name
from allotrope.graphs.work.sandbox.outcome import check_files
from allotrope.graphs.work.sandbox.packages import installed
from allotrope.settings import Settings
from allotrope.support.fencing import Untrusted, Value


def asked(task: str, files: Mapping[str, str], settings: Settings) -> dict[str, Value]:
    values: dict[str, Value] = {"task": Untrusted(task)}
    packages = [Untrusted(one) for one in packages_for(settings)]
    if packages:
        values["packages"] = packages
    if files:
        values["files"] = Untrusted(shown(files))
    return values


def packages_for(settings: Settings) -> list[str]:
    """What code may import besides the standard library; of elsewhere that isn't known."""
    if settings.agents.code_backend != "local":
        return []
    return [one for one in installed(settings.agents.code_packages) if one != "pytest"]


def usable(found: Mapping[str, str], before: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Files of a reply that may be written, and a sentence for each that may not."""
    good: dict[str, str] = {}
    left: list[str] = []
    for name, text in found.items():
        if not is_name(name):
            left.append(f"Left out: {name[:80]!r} is no file name for code.")
            continue
        old = before.get(name)
        plain = text if old is None or text.startswith(old[:40]) else without_name(text, name)
        good[name] = plain or "\n"  # a unified diff has nothing for a new file without a line
    return good, left


def is_name(name: str) -> bool:
    try:
        check_files({name: ""})
    except AllotropeError:
        return False
    return True


def shown(files: Mapping[str, str]) -> str:
    """Files as one text, each under its name."""
    return "\n\n".join(f"{name}:\n{text}" for name, text in files.items()) or "(missing)"
