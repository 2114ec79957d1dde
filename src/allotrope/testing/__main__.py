"""The simulator as a process of its own: `python -m allotrope.testing`."""

import argparse
import sys
import threading

from allotrope.exceptions import AllotropeError
from allotrope.testing.simulator import ProviderSimulator


def main(arguments: list[str] | None = None) -> int:
    """Runs a simulator until stdin closes or Ctrl-C.

    Args:
        arguments: The command line; default: that of the process.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m allotrope.testing", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="OpenAI's port; 0 takes a free one")
    parser.add_argument("--ollama-port", type=int, default=0, help="Ollama's port")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before an answer")
    parser.add_argument("--token-delay", type=float, default=0.0, help="seconds a token takes")
    parser.add_argument("--upstream", help="an OpenAI-compatible base URL that answers")
    parser.add_argument("--fault", action="append", default=[], help="a kind of fault, for always")
    parser.add_argument(
        "--until-stdin-closes", action="store_true", help="end with the parent process"
    )
    options = parser.parse_args(arguments)
    simulator = ProviderSimulator(
        port=options.port,
        ollama_port=options.ollama_port,
        latency_s=options.latency,
        token_delay_s=options.token_delay,
        upstream=options.upstream,
    )
    try:
        for kind in options.fault:
            simulator.faults.add(kind)
        with simulator:
            for name, value in simulator.environment.items():
                print(f"export {name}={value}", flush=True)
            if options.until_stdin_closes:
                sys.stdin.read()
            else:
                threading.Event().wait()
    except KeyboardInterrupt:
        return 0
    except AllotropeError as exc:
        print(exc, file=sys.stderr)
        return exc.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
