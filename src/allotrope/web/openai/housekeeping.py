"""What a chat interface asks beside a conversation: its title, tags, suggestions for what is next.

Open WebUI sends these to the model of the conversation, up to three with each answer. They are no
turn of an agent and no thread: the cheap model answers them, or a rule where there is none.
"""

import asyncio
import json
import logging
import re
import time
import uuid
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from allotrope.contracts import Event, Metadata
from allotrope.exceptions import AllotropeError
from allotrope.identity.principal import Principal
from allotrope.stores.errors import error_name
from allotrope.support.pools import TURNS
from allotrope.web.chat.turns import Events
from allotrope.web.openai.request import ChatRequest
from allotrope.web.service import Service

if TYPE_CHECKING:
    from allotrope.agents.reply import TurnMeter
    from allotrope.graphs.parts import Parts

logger = logging.getLogger(__name__)

AGENT = "housekeeping"
"""Under this name the ledger has these calls."""

LONGEST_S = 60.0
"""After so many seconds a rule answers: nobody waits for a title that long."""

_TASK, _OUTPUT = "### Task:\n", "### Output:\n"
_CHAT, _END = "<chat_history>", "</chat_history>"
"""Open WebUI's prompts for titles, tags, follow-ups, search queries and pictures (since 0.5)."""

_OTHERS = (
    "### Task:\nYou are an autocompletion system.",
    "### Task:\nSummarize the conversation history that will be compacted",
)
"""Those of its prompts that have another form; its prompt for documents is a user's question."""

_EMPTY: dict[str, Any] = {"tags": ["General"], "follow_ups": [], "queries": [], "text": ""}
"""What a rule answers, by the field that is asked for; a title has a rule of its own."""

_FROM_A_RULE = MappingProxyType({"provider": "rule", "model": "rule"})


def is_housekeeping(request: ChatRequest) -> bool:
    """Whether a request is a question of the interface and not a person's."""
    if len(request.messages) != 1 or request.messages[0].role != "user":
        return False
    text = request.messages[0].text
    return text.startswith(_OTHERS) or _framed(text) is not None


def _framed(text: str) -> tuple[str, str] | None:
    """What is asked for, and the conversation, of a question in Open WebUI's frame."""
    whole = text.rstrip()
    if not (text.startswith(_TASK) and whole.endswith(_END)):
        return None
    chat = whole.rfind(_CHAT, 0, -len(_END))
    output = whole.rfind(_OUTPUT, 0, max(chat, 0))
    if output < 0:
        return None
    return whole[output + len(_OUTPUT) : chat], whole[chat + len(_CHAT) : -len(_END)]


def by_rule(text: str) -> str | None:
    """An answer in the form that is asked for, without a model; None where there is no rule.

    Args:
        text: The interface's question.
    """
    found = _framed(text)
    if found is None:
        return json.dumps({"text": ""}) if text.startswith(_OTHERS[0]) else None
    field = re.search(r'"(\w+)"\s*:', found[0])
    if field is not None and field[1] == "title":
        asked = re.search(r"USER: (.*)", found[1])
        words = (asked[1] if asked else "").split()
        return json.dumps({"title": " ".join(words[:5]) or "Conversation"}, ensure_ascii=False)
    if field is None or field[1] not in _EMPTY:
        return None
    return json.dumps({field[1]: _EMPTY[field[1]]})


class Housekeeping:
    """One question of the interface.

    Args:
        service: The agents, whose models answer.
        request: What was asked.
        principal: Who asks.
    """

    def __init__(self, service: Service, request: ChatRequest, principal: Principal) -> None:
        self.request = request
        self._context = principal.context(request.user)
        self._service = service
        self._text = request.messages[0].text

    async def events(self) -> Events:
        """The answer, as the one event of a turn that leaves no thread.

        Raises:
            BusyError: As many turns run as may, or the server stops.
            AllProvidersFailedError: No model can answer, and there is no rule.
        """
        async for event in self._service.aside(self._answer):
            yield event

    async def _answer(self, parts: "Parts") -> dict[str, Any]:
        since = time.perf_counter()
        settings = parts.settings
        rule = by_rule(self._text)
        # as for summaries: the embedded model is too small for it
        able = settings.openai.api_key is not None or not settings.embedded.enabled
        if able or rule is None:
            try:
                return await self._by_model(parts, since)
            except (AllotropeError, TimeoutError) as exc:
                if rule is None:
                    raise
                logger.info("a rule answers the interface: %s", error_name(exc))
        assert rule is not None
        return self._reply(rule, since)

    async def _by_model(self, parts: "Parts", since: float) -> dict[str, Any]:
        from langchain_core.messages import HumanMessage

        from allotrope.agents.reply import TurnMeter
        from allotrope.graphs.work.answers import origin
        from allotrope.support.fencing import neutralised_message
        from allotrope.usage.prices.prices import PriceBook

        profile = await TURNS.run(parts.profiles.get, "economical")
        model = await TURNS.run(parts.model, profile)
        meter = TurnMeter(PriceBook(parts.settings.usage.prices))
        metadata = {
            Metadata.AGENT: AGENT,
            Metadata.PROFILE: profile.name,
            Metadata.TENANT: self._context.get("tenant") or parts.settings.tenant,
            Metadata.USER: self._context.get("user"),
            Metadata.ALLOWANCE: self._context.get("allowance"),
            Metadata.CACHE: profile.cache_directive("no-semantic"),
            Metadata.MAX_COST_USD: profile.max_cost,
        }
        async with asyncio.timeout(LONGEST_S):
            said = await model.ainvoke(
                [neutralised_message(HumanMessage(self._text))],
                {
                    "callbacks": [meter],
                    "metadata": {key: value for key, value in metadata.items() if value},
                },
            )
        return self._reply(said.text, since, origin(said), meter)

    def _reply(
        self,
        answer: str,
        since: float,
        came: Mapping[str, Any] = _FROM_A_RULE,
        meter: "TurnMeter | None" = None,
    ) -> dict[str, Any]:
        from allotrope.agents.reply import USAGE_FIELDS, Reply

        reply = Reply(
            answer=answer,
            agent=AGENT,
            thread_id="",
            run_id=str(uuid.uuid4()),
            provider=came.get("provider", "unknown"),
            model=came.get("model", "unknown"),
            cached=came.get("cached"),
            degraded=came.get("degraded"),
            usage=dict(meter.usage if meter else dict.fromkeys(USAGE_FIELDS, 0)),
            truncated=bool(came.get("truncated")),
            cost_usd=meter.cost_usd if meter else Decimal(0),
            latency_ms=(time.perf_counter() - since) * 1000,
        )
        return {"type": Event.REPLY, **reply.as_dict(), "thread_id": None}
