"""The assistant, a tools loop: `python -m allotrope.agents.assistant TEXT`."""

from allotrope.agents.spec import AgentSpec

SPEC = AgentSpec(
    name="assistant",
    summary="Answers questions, and uses tools where they are better than memory.",
    graph="allotrope.graphs.assistant:build_graph",
    prompt="assistant",
    tools=(
        "current_time",
        "convert_time",
        "date_difference",
        "date_add",
        "calculate",
        "convert_units",
        "read",
    ),
)

if __name__ == "__main__":
    from allotrope.agents.entry import main

    main(SPEC.name)
