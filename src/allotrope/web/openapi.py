"""`/openapi.json`: what the HTTP API takes and gives, for client generators and for tests.

The requests' schemas are those of the models that read them, so the document can't differ from
what is accepted.
"""

from functools import cache
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from allotrope.web.chat.api import TurnRequest
from allotrope.web.openai.request import ChatRequest

_REF = "#/components/schemas/{model}"

ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
"""OpenAI's form of an error, which every refusal has."""

COMPLETION = {
    "type": "object",
    "required": ["id", "object", "created", "model", "choices", "usage", "allotrope"],
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "chat.completion"},
        "created": {"type": "integer"},
        "model": {"type": "string"},
        "choices": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": {
                "type": "object",
                "required": ["index", "message", "finish_reason"],
                "properties": {
                    "message": {
                        "type": "object",
                        "required": ["role", "content"],
                        "properties": {
                            "role": {"const": "assistant"},
                            "content": {"type": "string"},
                        },
                    },
                    "finish_reason": {"enum": ["stop", "length"]},
                },
            },
        },
        "usage": {
            "type": "object",
            "required": ["prompt_tokens", "completion_tokens", "total_tokens"],
        },
        "allotrope": {"type": "object", "required": ["thread_id", "run_id", "degraded"]},
    },
}

AGENT = {
    "type": "object",
    "required": ["id", "object", "created", "owned_by"],
    "properties": {"id": {"type": "string"}, "object": {"const": "model"}},
}

THREAD = {
    "type": "object",
    "required": ["thread_id", "agent", "messages", "context", "waits"],
    "properties": {
        "thread_id": {"type": "string"},
        "agent": {"type": "string"},
        "messages": {"type": "array", "items": {"type": "object"}},
        "waits": {"type": "boolean"},
    },
}

_STATUSES = {
    "400": "The request can't be used as it is; the message says what to change.",
    "401": "No good credential was shown.",
    "403": "The caller may not do that.",
    "404": "There is no such agent, thread or address.",
    "405": "The address doesn't take this method.",
    "408": "The request took too long to arrive.",
    "409": "The thread is busy, moved on, or its turn was stopped.",
    "413": "The body is too long.",
    "421": "The server doesn't go by that name.",
    "429": "Too many requests, or a budget is used up.",
    "503": "No model, store or free place at the moment.",
}

_EXAMPLES: dict[type[BaseModel], dict[str, Any]] = {
    ChatRequest: {
        "model": "assistant",
        "messages": [{"role": "user", "content": "What is 12.5 % of 480?"}],
    },
    TurnRequest: {"agent": "assistant", "text": "What is 12.5 % of 480?"},
}


def _json(description: str, schema: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": {"schema": schema}, **others},
    }


def _operation(
    summary: str, answer: dict[str, Any], *, body: type[BaseModel] | None = None, name: str = ""
) -> dict[str, Any]:
    """An operation with the refusals that all of them have."""
    found: dict[str, Any] = {
        "summary": summary,
        "responses": {
            "200": answer,
            **{status: _json(text, ERROR) for status, text in _STATUSES.items()},
        },
    }
    if body is not None:
        schema = {"$ref": _REF.format(model=body.__name__)}
        content = {"schema": schema, "example": _EXAMPLES[body]}
        found["requestBody"] = {"required": True, "content": {"application/json": content}}
    if name:
        where = {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        found["parameters"] = [{**where, "example": "assistant"}]
    return found


@cache
def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document of the API of `allotrope serve`."""
    models: list[tuple[type[BaseModel], Any]] = [
        (ChatRequest, "validation"),
        (TurnRequest, "validation"),
    ]
    _, schemas = models_json_schema(models, ref_template=_REF)
    listed = {"type": "object", "required": ["object", "data"]}
    threads = {"type": "object", "required": ["threads"]}
    stopped = {"type": "object", "required": ["stopped"]}
    lines = {"description": "One event a line.", "content": {"application/x-ndjson": {}}}
    answer = _json(
        "The answer; with `stream`, its pieces.", COMPLETION, **{"text/event-stream": {}}
    )
    return {
        "openapi": "3.1.0",
        "info": {"title": "Allotrope", "version": version("allotrope")},
        "security": [{"bearer": []}],
        "paths": {
            "/v1/chat/completions": {
                "post": _operation("Asks an agent.", answer, body=ChatRequest)
            },
            "/v1/models": {"get": _operation("The agents.", _json("The agents.", listed))},
            "/v1/models/{name}": {
                "get": _operation("One agent.", _json("The agent.", AGENT), name="name")
            },
            "/api/turns": {"post": _operation("A turn as events.", lines, body=TurnRequest)},
            "/api/threads": {
                "get": _operation("The latest threads.", _json("The threads.", threads))
            },
            "/api/threads/{thread}": {
                "get": _operation("A thread.", _json("The thread.", THREAD), name="thread")
            },
            "/api/threads/{thread}/stop": {
                "post": _operation("Ends a turn.", _json("Whether.", stopped), name="thread")
            },
        },
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


async def openapi(request: Request) -> Response:
    """`GET /openapi.json`; anybody may ask, for no data is in it."""
    return JSONResponse(document())


ROUTES = [Route("/openapi.json", openapi)]
