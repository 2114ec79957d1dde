"""What `python -m allotrope.agents.<name>` runs: `allotrope ask <name>` under a shorter name."""

import importlib
import sys


def main(agent: str) -> None:
    """Asks one agent what stands on the command line.

    Args:
        agent: The agent's name.
    """
    # by name: agents don't import the command line
    command_line = importlib.import_module("allotrope.cli.app")
    sys.argv = [f"python -m allotrope.agents.{agent}", "ask", agent, *sys.argv[1:]]
    command_line.main()
