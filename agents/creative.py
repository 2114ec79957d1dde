"""The writer: drafts, critique, revision; `python -m allotrope.agents.creative TEXT`."""

from allotrope.agents.spec import AgentSpec

SPEC = AgentSpec(
    name="creative",
    summary="Writes several drafts to a brief and revises the best until the constraints hold.",
    graph="allotrope.graphs.creative:build_graph",
    prompt="creative",
    profile="creative",
)

if __name__ == "__main__":
    from allotrope.agents.entry import main

    main(SPEC.name)
