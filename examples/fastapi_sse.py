"""A FastAPI app that streams an agent's answer as server-sent events.

python examples/fastapi_sse.py
curl -N "http://127.0.0.1:8001/chat?text=Hello"
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from allotrope import AllotropeError, build_agent


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One agent for the whole app; closed when the app ends."""
    async with build_agent("assistant") as agent:
        app.state.agent = agent
        yield


app = FastAPI(lifespan=lifespan)


async def events(text: str, thread: str | None) -> AsyncIterator[str]:
    """The agent's events in the format of SSE; an error is the last one."""
    try:
        async for event in app.state.agent.astream(text, thread_id=thread):
            yield sse(event)
    except AllotropeError as exc:
        yield sse({"type": "error", "message": str(exc)})


def sse(event: dict[str, Any]) -> str:
    """One event as text."""
    return f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n"


@app.get("/chat")
async def chat(text: str, thread: str | None = None) -> StreamingResponse:
    """Answers one question; `thread` goes on with a conversation."""
    return StreamingResponse(events(text, thread), media_type="text/event-stream")


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, host="127.0.0.1", port=8001)
