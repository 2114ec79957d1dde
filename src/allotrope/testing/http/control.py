"""The simulator's own door on OpenAI's port: other processes retire models and count requests."""

import json
from collections.abc import Sequence
from typing import Any

from allotrope.exceptions import InputError
from allotrope.testing.content.lifecycles import SimulatedLifecycles
from allotrope.testing.content.replies import SimRequest
from allotrope.testing.http.http11 import Exchange, json_bytes

PREFIX = "/simulator/"
"""Where the door is; requests to it are neither recorded nor met by faults."""


def answer(
    exchange: Exchange,
    lifecycles: SimulatedLifecycles,
    requests: Sequence[SimRequest],
    elapsed_s: float,
) -> None:
    """Answers `POST retire`, `POST revive` and `GET requests` under `PREFIX`.

    Args:
        exchange: The connection's side.
        lifecycles: The lifecycles of OpenAI's models.
        requests: What the simulator recorded.
        elapsed_s: Seconds on the simulator's clock.
    """
    verb = exchange.path.removeprefix(PREFIX)
    body: dict[str, Any] = {"elapsed_s": elapsed_s}
    status = 200
    try:
        if exchange.method == "GET" and verb == "requests":
            body["requests"] = [_shown(request) for request in requests]
        elif exchange.method == "POST" and verb == "retire":
            given = _given(exchange, "model", "how", "at_s")
            model = given.pop("model")
            lifecycles.retire(model, **given)
        elif exchange.method == "POST" and verb == "revive":
            lifecycles.revive(_given(exchange, "model")["model"])
        else:
            status, body = 404, {"error": f"There is no {exchange.method} {exchange.path}."}
    except (InputError, KeyError, TypeError, ValueError) as exc:
        status, body = 400, {"error": str(exc) if isinstance(exc, InputError) else repr(exc)}
    exchange.send(status, json_bytes(body), headers={"content-type": "application/json"})


def _given(exchange: Exchange, *names: str) -> dict[str, Any]:
    given = json.loads(exchange.body)
    return {name: given[name] for name in names if name in given}


def _shown(request: SimRequest) -> dict[str, Any]:
    return {
        "number": request.number,
        "at": request.at,
        "api": request.api,
        "model": request.model,
        "status": request.status,
        "finished": request.finished,
        "usage": dict(request.usage),
    }
