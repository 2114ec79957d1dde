"""Pictures of drills: every turn a dot, when it was asked and how long it took."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from allotrope.drill.result import Drill, DrillTurn
from allotrope.support.extras import needed

COLOURS = {
    "openai": "#2a9d8f",
    "ollama": "#e9a23b",
    "embedded": "#5b5f97",
    "nobody": "#d1495b",
}
"""Who answered, in colours that people with colour blindness can tell apart."""

NAMES = {
    "openai": "OpenAI answered",
    "ollama": "Ollama answered",
    "embedded": "the embedded model answered",
    "nobody": "no answer",
}

MARKS = {"openai": "o", "ollama": "l", "embedded": "e"}

LINES = {"open": "-", "half_open": ":", "closed": "--", "isolated": "-", "disabled": "-"}
"""How the picture draws a circuit's change: solid when it opens, dashed when it closes."""

CHANGES: dict[Literal["-", ":", "--"], str] = {
    "-": "a circuit opens",
    ":": "a probe goes out",
    "--": "it closes",
}
"""What the lines say, for the legend."""

DASHES = {"-": "solid", ":": "dot", "--": "dash"}


def strip(drill: Drill, *, seconds: float) -> str:
    """The run as one character a second: who answered the turns asked then.

    `o` OpenAI, `l` Ollama, `e` the embedded model, `b` several, `x` somebody got no answer, `.`
    nobody asked.

    Args:
        drill: The run.
        seconds: How long it lasted.
    """
    marks = []
    for second in range(int(seconds)):
        who = {
            turn.answered_by or "nobody"
            for turn in drill.turns
            if second <= turn.started_s < second + 1 and not turn.bad
        }
        if "nobody" in who:
            marks.append("x")
        elif len(who) > 1:
            marks.append("b")
        else:
            marks.append(MARKS[who.pop()] if who else ".")
    return "".join(marks)


def _series(drill: Drill) -> dict[str, list[DrillTurn]]:
    series: dict[str, list[DrillTurn]] = {name: [] for name in COLOURS}
    for turn in drill.turns:
        if not turn.bad:
            series[turn.answered_by or "nobody"].append(turn)
    return series


def _present(drills: Sequence[Drill]) -> list[str]:
    """Who answered in any of the runs, in the order of the colours."""
    return [name for name in COLOURS if any(_series(drill)[name] for drill in drills)]


def write_png(drills: Sequence[Drill], path: Path) -> None:
    """Draws the runs below one another.

    Raises:
        SettingsError: matplotlib isn't installed.
    """
    with needed("A PNG"):
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch
    figure = Figure(figsize=(10, 2.4 * len(drills) + 0.6), layout="constrained")
    plots = figure.subplots(len(drills), 1, squeeze=False, sharex=True)
    for plot, drill in zip(plots[:, 0], drills, strict=True):
        for name, turns in _series(drill).items():
            plot.scatter(
                [turn.started_s for turn in turns],
                [turn.ended_s - turn.started_s for turn in turns],
                s=12,
                color=COLOURS[name],
            )
        begin, end = _window(drill)
        if end > begin:
            plot.axvspan(begin, end, color="#d1495b", alpha=0.08)
        for change in drill.changes:
            plot.axvline(change.at_s, color="#555555", linewidth=0.7, linestyle=LINES[change.state])
        plot.set_title(f"{drill.scenario.title} ({drill.system})", fontsize=9, loc="left")
        plot.set_ylabel("seconds to answer", fontsize=8)
        plot.set_ylim(bottom=0)
    keys: list[Line2D | Patch] = [
        Line2D([], [], marker="o", linestyle="", color=COLOURS[name], label=NAMES[name])
        for name in _present(drills)
    ]
    keys.append(Patch(color="#d1495b", alpha=0.08, label="OpenAI fails"))
    keys += [
        Line2D([], [], color="#555555", linewidth=0.7, linestyle=line, label=said)
        for line, said in CHANGES.items()
        if any(LINES[change.state] == line for drill in drills for change in drill.changes)
    ]
    figure.legend(handles=keys, fontsize=8, loc="outside upper center", ncols=4, frameon=False)
    plots[-1, 0].set_xlabel("second of the run")
    figure.savefig(path, format="png", dpi=110)


def write_html(drills: Sequence[Drill], path: Path) -> None:
    """Writes the runs as one page that needs no network.

    Raises:
        SettingsError: plotly isn't installed.
    """
    with needed("An HTML picture"):
        from plotly.graph_objects import Scatter
        from plotly.subplots import make_subplots
    titles = [f"{drill.scenario.title} ({drill.system})" for drill in drills]
    figure = make_subplots(rows=len(drills), cols=1, shared_xaxes=True, subplot_titles=titles)
    for row, drill in enumerate(drills, start=1):
        for name, turns in _series(drill).items():
            figure.add_trace(
                Scatter(
                    x=[turn.started_s for turn in turns],
                    y=[turn.ended_s - turn.started_s for turn in turns],
                    mode="markers",
                    marker={"color": COLOURS[name], "size": 6},
                    name=NAMES[name],
                    legendgroup=name,
                    showlegend=row == 1 and name in _present(drills),
                    text=[f"{turn.thread}: {turn.error or 'answered'}" for turn in turns],
                ),
                row=row,
                col=1,
            )
        for change in drill.changes:
            figure.add_vline(
                x=change.at_s,
                line={"color": "#555555", "width": 1, "dash": DASHES[LINES[change.state]]},
                row=row,
                col=1,
            )
        begin, end = _window(drill)
        if end > begin:
            figure.add_vrect(
                x0=begin, x1=end, fillcolor="#d1495b", opacity=0.08, line_width=0, row=row, col=1
            )
    figure.update_yaxes(title_text="seconds to answer", rangemode="tozero")
    figure.update_xaxes(title_text="second of the run", row=len(drills), col=1)
    figure.update_layout(
        height=260 * len(drills) + 120,
        title_text="Outage drill: OpenAI fails where it is red; a solid line opens a circuit, "
        "a dotted one sends a probe, a dashed one closes it",
        title_font_size=15,
        template="plotly_white",
    )
    figure.write_html(path, include_plotlyjs=True)


def _window(drill: Drill) -> tuple[float, float]:
    last = max((turn.ended_s for turn in drill.turns), default=0.0)
    heals = drill.scenario.heals_s
    return drill.scenario.starts_s, last if heals is None else heals
