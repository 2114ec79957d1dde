"""The researcher: verified reports; `python -m allotrope.agents.researcher TEXT`."""

from allotrope.agents.spec import AgentSpec

SPEC = AgentSpec(
    name="researcher",
    summary="Reads documents and pages, and reports with citations that were verified.",
    graph="allotrope.graphs.researcher:build_graph",
    prompt="researcher",
    profile="analytical",
)

if __name__ == "__main__":
    from allotrope.agents.entry import main

    main(SPEC.name)
