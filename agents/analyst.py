"""The analyst: questions about data files; `python -m allotrope.agents.analyst TEXT`."""

from allotrope.agents.spec import AgentSpec

SPEC = AgentSpec(
    name="analyst",
    summary="Answers questions about CSV, Parquet, JSON and Excel files with checked numbers.",
    graph="allotrope.graphs.analyst:build_graph",
    prompt="analyst",
    profile="analytical",
)

if __name__ == "__main__":
    from allotrope.agents.entry import main

    main(SPEC.name)
