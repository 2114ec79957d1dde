"""The simulator as a process of its own: `python -m allotrope.testing`."""

import argparse
import sys
import threading

from allotrope.exceptions import AllotropeError, InputError
from allotrope.testing.openai.refusals import RETIREMENTS
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
    parser.add_argument("--answer", help="what is answered to everything; default: an echo")
    parser.add_argument("--upstream", help="an OpenAI-compatible base URL that answers")
    parser.add_argument("--fault", action="append", default=[], help="a kind of fault, for always")
    parser.add_argument("--model", action="append", default=[], help="a further OpenAI model")
    parser.add_argument(
        "--shutdown-date",
        action="append",
        default=[],
        metavar="MODEL=DATE",
        help="what /v1/models says of a model's end",
    )
    parser.add_argument(
        "--retire",
        action="append",
        default=[],
        metavar="MODEL[=HOW][@SECONDS]",
        help=f"take a model away, at once or later; HOW is one of {', '.join(RETIREMENTS)}",
    )
    parser.add_argument(
        "--prompt-caching", action="store_true", help="OpenAI caches prompts and counts it"
    )
    parser.add_argument("--now", help="OpenAI's date and time at the start, as 2026-12-10T23:59:00")
    parser.add_argument("--date-header", help="OpenAI's Date header, in place of the time")
    parser.add_argument(
        "--no-models-endpoint", action="store_true", help="OpenAI has no /v1/models"
    )
    parser.add_argument(
        "--until-stdin-closes", action="store_true", help="end with the parent process"
    )
    options = parser.parse_args(arguments)
    try:
        simulator = ProviderSimulator(
            port=options.port,
            ollama_port=options.ollama_port,
            latency_s=options.latency,
            token_delay_s=options.token_delay,
            upstream=options.upstream,
            models=options.model,
            shutdown_dates=dict(_parts(text, "=") for text in options.shutdown_date),
            now=options.now,
            date_header=options.date_header,
            prompt_caching=options.prompt_caching,
            models_endpoint=not options.no_models_endpoint,
        )
        if options.answer is not None:
            simulator.answer_with(lambda asked: str(options.answer))
        for text in options.retire:
            what, seconds = _parts(text, "@")
            model, how = _parts(what, "=")
            simulator.retire_at(_seconds(seconds), model, how=how or "not_found")
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


def _parts(text: str, sign: str) -> tuple[str, str]:
    head, _, tail = text.partition(sign)
    return head, tail


def _seconds(text: str) -> float:
    try:
        return float(text or 0)
    except ValueError as exc:
        raise InputError(f"{text!r} is no number of seconds.", hint="Write o3@30.") from exc


if __name__ == "__main__":
    sys.exit(main())
