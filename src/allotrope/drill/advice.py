"""What a drill says about the settings, in plain sentences."""

from allotrope.drill.result import Drill
from allotrope.settings import Settings


def advice(drill: Drill, settings: Settings) -> list[str]:
    """Sentences for the operator; none where the outage went by as it should.

    Args:
        drill: The run.
        settings: The user's own, as they are set.
    """
    figures, resilience = drill.figures(), settings.resilience
    found = []
    if not resilience.breaker:
        found.append(
            "The circuit breaker is off: every turn tries OpenAI first. "
            "Set ALLOTROPE_RESILIENCE__BREAKER=true."
        )
    if drill.scenario.retires:
        found += _retired(drill, settings)
    missed = figures.turns - figures.answered
    if missed:
        found.append(f"{missed} of {figures.turns} turns got no answer.")
    longest = figures.waited_p99_s or 0.0
    silent = any(asked.fault in ("hang", "stall") for asked in drill.requests)
    if longest > 10.0 and silent:
        limit = settings.openai.first_token_timeout_s
        found.append(
            f"Users waited up to {longest:.0f} s for a first token. OpenAI may take {limit:g} s "
            "before it counts as silent: lower ALLOTROPE_OPENAI__FIRST_TOKEN_TIMEOUT_S "
            "if your answers start sooner."
        )
    if figures.recovered_s is not None and figures.recovered_s > 2 * resilience.breaks_s[0]:
        found.append(
            f"OpenAI was used again only {figures.recovered_s:.0f} s after it had healed: "
            "shorten ALLOTROPE_RESILIENCE__BREAKS_S."
        )
    if figures.lost or figures.duplicated:
        found.append(
            f"{figures.lost} messages were lost and {figures.duplicated} doubled. "
            "That is a defect of ours: please report it."
        )
    return found


def _retired(drill: Drill, settings: Settings) -> list[str]:
    """What became of the turns after the model that answered had ended."""
    figures = drill.figures()
    if figures.by_successor:
        told = f"{figures.successor} answered {figures.by_successor} turns in its place, at OpenAI"
        return [f"{told}; {figures.wasted} requests went to the model that had ended."]
    if settings.openai.succession != "auto":
        return [
            "No other model of OpenAI took over, since ALLOTROPE_OPENAI__SUCCESSION is "
            f"{settings.openai.succession}. Set it to auto, or choose another model in time."
        ]
    return [
        f"No successor of {settings.openai.model} is known, so local models answered. "
        "Name one in your own catalogue (ALLOTROPE_OPENAI__CATALOGUE), or choose another model."
    ]
