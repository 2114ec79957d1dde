"""The coder: tested code; `python -m allotrope.agents.coder TEXT`."""

from allotrope.agents.spec import AgentSpec

SPEC = AgentSpec(
    name="coder",
    summary="Writes code with tests, runs it in a sandbox, and repairs it until the tests pass.",
    graph="allotrope.graphs.coder:build_graph",
    prompt="coder",
    profile="precise",
    asks=True,
)

if __name__ == "__main__":
    from allotrope.agents.entry import main

    main(SPEC.name)
