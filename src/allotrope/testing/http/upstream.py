"""Answers from a real model behind the simulator: any OpenAI-compatible server."""

from typing import Any

from allotrope.testing.content.replies import Reply, SimRequest, ToolCall


class Upstream:
    """Passes requests on to an OpenAI-compatible server, such as the embedded model.

    Args:
        base_url: Where it answers, `/v1` included.
        model: The model it is asked for.
        timeout_s: Seconds for one answer.
    """

    def __init__(self, base_url: str, *, model: str = "default", timeout_s: float = 120.0) -> None:
        self._url = base_url.rstrip("/") + "/chat/completions"
        self._model = model
        self._timeout_s = timeout_s

    async def reply(self, request: SimRequest) -> Reply:
        """The model's answer to the request, whatever API it came by.

        Raises:
            httpx.HTTPError: The server behind doesn't answer.
        """
        import httpx

        body: dict[str, Any] = {"model": self._model, "messages": self._messages(request)}
        if request.asked.max_tokens is not None:
            body["max_tokens"] = request.asked.max_tokens
        if request.api in ("chat", "ollama") and request.body.get("tools"):
            body["tools"] = request.body["tools"]
        async with httpx.AsyncClient(timeout=self._timeout_s) as client:
            key = {"authorization": "Bearer simulator"}  # servers without keys ignore it
            response = await client.post(self._url, json=body, headers=key)
            response.raise_for_status()
        data = response.json()
        message = data["choices"][0]["message"]
        calls = tuple(
            ToolCall(call["function"]["name"], call["function"]["arguments"], id=call.get("id"))
            for call in message.get("tool_calls") or []
        )
        usage = data.get("usage") or {}
        return Reply(
            message.get("content") or "",
            tool_calls=calls,
            reasoning_tokens=0,
            input_tokens=usage.get("prompt_tokens"),
            output_tokens=usage.get("completion_tokens"),
        )

    def _messages(self, request: SimRequest) -> list[dict[str, Any]]:
        if request.api == "chat":
            return [
                {**m, "role": "system"} if m.get("role") == "developer" else m
                for m in request.body["messages"]
            ]
        return [
            {"role": "user" if turn.role == "tool" else turn.role, "content": turn.text}
            for turn in request.asked.turns
        ]
