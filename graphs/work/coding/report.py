"""What the coder says of a turn: an honest status, the diff, the output, where files are."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

_MISSING = re.compile(r"ModuleNotFoundError: No module named '([\w.]{1,100})'")
DECLINED = "The code was not run, because running it was declined. It is untested."


def status_of(outcome: Mapping[str, Any], *, repairs: int, others: Iterable[str] = ()) -> str:
    """A sentence or two on what running the tests came to.

    Args:
        outcome: Of the last run, with its proof.
        repairs: How often code went back.
        others: Files in other languages, which nothing ran.
    """
    status = outcome.get("status")
    if status in (None, "no_code"):
        return "No code came out that could be run: the model's answers held none."
    if status == "no_python":
        return f"Nothing was run: only Python runs here. Written, and untested: {_named(others)}."
    ran = f"{outcome['passed']} passed, {outcome['failed']} failed, {outcome['skipped']} skipped"
    parts = []
    proof = outcome.get("proof") or {}
    if status == "ok":
        parts.append(f"The tests pass ({ran}).")
        broken = int(proof.get("broken", 0))
        if broken:
            functions = "a function was" if broken == 1 else f"{broken} functions were"
            parts.append(
                f"They ran {proof['runs']} times, and failed when {functions} broken on purpose."
            )
    elif status == "unproven":
        parts.append(f"The tests ran green ({ran}), but they don't prove that the code works.")
        if proof.get("changed"):
            parts.append("They aren't as they were first written; compare them in the diff.")
        parts += [*proof.get("changed", ()), *proof.get("problems", ())]
    else:
        tried = f" after {repairs} repair{'s' if repairs != 1 else ''}" if repairs else ""
        parts.append(f"The code does not work yet{tried}: {short_reason(outcome)}")
    parts += proof.get("remarks", ())
    parts.append(_where(outcome["isolation"]))
    if others:
        parts.append(f"Not run, since only Python runs here: {_named(others)}.")
    return " ".join(parts)


def _where(isolation: Mapping[str, Any]) -> str:
    stood = {key: isolation[key] for key in ("network", "files", "processes")}
    if all(stood.values()):
        return "Everything ran in the sandbox, without network and without your files."
    walls = ", ".join(f"{name} {'yes' if stands else 'no'}" for name, stands in stood.items())
    return f"Only some walls of the sandbox stood: {walls}."


def short_reason(outcome: Mapping[str, Any]) -> str:
    """Why a run isn't green, in a clause.

    Args:
        outcome: Of the run.
    """
    return {
        "failed": f"tests fail ({outcome['passed']} passed, {outcome['failed']} failed).",
        "timeout": "it didn't end in time and was stopped.",
        "memory": "it needed more memory than it may use and was stopped.",
        "no_tests": "no test was found that passed.",
        "disk": "it wrote more than it may and was stopped.",
        "unfinished": "the process ended before the tests did.",
        "forged": "the report of its tests doesn't agree with the code, so none counts as passed.",
        "cancelled": "the run was cancelled.",
    }.get(str(outcome["status"]), str(outcome["status"]))


def for_the_model(outcome: Mapping[str, Any]) -> str:
    """What a repair is told: the output, and what was found out beyond it.

    Args:
        outcome: Of the last run, with its proof.
    """
    note = outcome.get("note", "")
    if outcome.get("status") in ("no_code", "no_python"):
        return f"{outcome.get('output', '')} {note}".strip()
    if outcome.get("status") == "unproven":
        problems = "\n".join(f"- {one}" for one in outcome["proof"]["problems"])
        return (
            f"The tests are green, but they prove too little:\n{problems}\n"
            f"Mend the tests or the code accordingly. {note}"
        ).strip()
    return f"{outcome.get('output', '')}\nResult: {short_reason(outcome)} {note}".strip()


def packages_missing(output: str, files: Iterable[str], allowed: Iterable[str]) -> str:
    """A sentence on packages that code imports and may not; empty where it is none of that.

    Args:
        output: Of the tests.
        files: Names of the files there are.
        allowed: Packages that code may import.
    """
    own = {part.removesuffix(".py") for name in files for part in name.split("/")}
    names = dict.fromkeys(one.partition(".")[0] for one in _MISSING.findall(output[:100_000]))
    missing = [name for name in names if name not in own]
    if not missing:
        return ""
    return (
        f"Code may not import {_named(missing)} here; it has the standard library and "
        f"{_named(allowed)}. Install what is missing and name it in "
        "ALLOTROPE_AGENTS__CODE_PACKAGES."
    )


def fence(language: str, text: str) -> str:
    """Text in a fenced block that it can't end.

    Args:
        language: Behind the fence.
        text: What stands in it.
    """
    return f"```{language}\n{text.replace('```', '´´´')}\n```"


def _named(names: Iterable[str]) -> str:
    found = [f"`{one}`" for one in names]
    return ", ".join(found[:8]) + (f" and {len(found) - 8} more" if len(found) > 8 else "")
