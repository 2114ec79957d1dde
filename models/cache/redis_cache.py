"""`RedisCache`: our answer cache for any LangChain user, `ChatOpenAI(cache=RedisCache(...))`."""

import json
import logging
import re
from typing import TYPE_CHECKING, Any, cast

from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    HumanMessageChunk,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
)
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.runnables.config import ensure_config

from allotrope.models.cache import policy
from allotrope.models.cache.answers import AnswerCache, CacheCall, Hit
from allotrope.models.cache.asker import Asker
from allotrope.models.cache.keys import (
    IRRELEVANT_FIELDS,
    canonical_messages,
    digest,
    heeded,
    route_of_names,
    same_writing,
)
from allotrope.models.cache.storage import commands as store
from allotrope.models.cache.storage.commands import Partition

if TYPE_CHECKING:
    from allotrope.models.cache.semantic.tier import SemanticTier

logger = logging.getLogger("allotrope.cache")

OBJECT = re.compile(r"<(?:class|function|bound method|[\w.]+ object at)\b|SecretStr")
"""Python reprs in LangChain's model string: they name a class but not its schema."""

PROVIDER_TOOL = re.compile(
    r"web_search|web_fetch|google_search|file_search|url_context|search_parameters"
    r"|'type': 'mcp'|\"type\": \"mcp\"|-search-|:online|\bsonar"
)
"""Tools that the provider runs, models that search, in LangChain's model string."""

KINDS: dict[str, type[BaseMessage]] = {
    kind.__name__: kind
    for kind in (
        AIMessage, AIMessageChunk, ChatMessage, FunctionMessage, HumanMessage, HumanMessageChunk,
        SystemMessage, SystemMessageChunk, ToolMessage,
    )
}  # fmt: skip
"""Messages in LangChain's prompt strings by name; its own `load` is a beta that warns."""

ZERO = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}


class RedisCache(BaseCache):
    """A LangChain cache on plain Redis ≥ 6.2, by a canonical key.

    Against LangChain's own: a repeated conversation hits at every turn, a hit has a new message id
    and counts no tokens, empty and truncated answers are not kept, a broken entry or a dead Redis
    is a miss, and `clear` touches only our prefix.

    Args:
        answers: The cache itself; `RedisCache.from_url` makes one.
        semantic: The semantic tier, for models of our chain.
    """

    def __init__(self, answers: AnswerCache, *, semantic: "SemanticTier | None" = None) -> None:
        self.answers = answers
        self.asker = Asker(answers, semantic)
        self._told = False

    @classmethod
    def from_url(cls, url: str, *, prefix: str = "allotrope:", **settings: Any) -> "RedisCache":
        """A cache in the Redis at a URL; nothing is contacted yet.

        Args:
            url: `redis://`, `rediss://`, `unix://`, `redis+sentinel://` or `redis+cluster://`.
            prefix: Before every key.
            settings: Of `CacheSettings`, such as `ttl_s=3600`.
        """
        from allotrope.models.cache.connecting import open_answers
        from allotrope.settings import load_settings

        whole = load_settings(
            environ={}, env_file=None, redis={"url": url, "prefix": prefix}, cache=settings
        )
        return cls(open_answers(whole))

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """The answers kept for this prompt and model; None when there are none."""
        call = self._call(prompt, llm_string)
        if call is None or not call.request.read:
            return None
        return _given(self.answers.get(call))

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """The same as `lookup`, asynchronously."""
        call = self._call(prompt, llm_string)
        if call is None or not call.request.read:
            return None
        return _given(await self.answers.aget(call))

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Keeps answers, unless they are empty, truncated or refused."""
        call = self._call(prompt, llm_string)
        entry = None if call is None else self.answers.entry_of(call, list(return_val))
        if call is not None and entry is not None:
            self.answers.put(call, entry)

    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """The same as `update`, asynchronously."""
        call = self._call(prompt, llm_string)
        entry = None if call is None else self.answers.entry_of(call, list(return_val))
        if call is not None and entry is not None:
            await self.answers.aput(call, entry)

    def clear(self, **kwargs: Any) -> None:
        """Removes everything under our prefix, and nothing else."""
        self.answers.clear()

    def forget_run(self, run_id: str, *, tenant: str, agent: str) -> None:
        """Takes out what a run's calls gave and got, for a turn that ended badly.

        Args:
            run_id: `allotrope_run_id` of the run's metadata.
            tenant: Whose run.
            agent: Of which agent.
        """
        self.answers.execute(store.forget_run(self._part(tenant, agent), run_id))

    async def aforget_run(self, run_id: str, *, tenant: str, agent: str) -> None:
        """The same as `forget_run`, asynchronously."""
        await self.answers.aexecute(store.forget_run(self._part(tenant, agent), run_id))

    def _part(self, tenant: str, agent: str) -> Partition:
        return Partition(self.answers.prefix, tenant, agent)

    async def aclose(self) -> None:
        """Closes the connections of the running loop and of the process; a call opens them anew."""
        await self.answers.aclose()

    def close(self) -> None:
        """Closes the connections of the process; a call opens them anew."""
        self.answers.close()

    def _call(self, prompt: str, llm_string: str) -> CacheCall | None:
        """LangChain's two strings in canonical form; None when they don't say everything."""
        if OBJECT.search(llm_string):
            return None  # a class by name only: another schema would get this answer
        if "chat-ollama" in llm_string and "model" not in llm_string:
            if not self._told:
                self._told = True
                logger.info(
                    "ChatOllama doesn't tell a cache its model, so it isn't cached; "
                    "use allotrope's chain, which does."
                )
            return None
        messages = _messages(prompt)
        metadata = ensure_config().get("metadata", {})
        request = policy.request_of(
            metadata, tenant=self.answers.tenant, settings=self.answers.settings
        )
        model = _model_form(llm_string)
        form = {
            "via": "langchain",
            "model": model,
            "prompt": same_writing(prompt) if messages is None else canonical_messages(messages),
        }
        volatile = (messages is not None and policy.time_dependent(messages)) or bool(
            PROVIDER_TOOL.search(llm_string)
        )
        named = re.search(r'"model(?:_name)?": "([^"]+)"', llm_string)
        return CacheCall(
            part=self.answers.partition(request),
            digest=digest(form),
            request=request,
            ttl_s=policy.lifetime(
                request, self.answers.settings, volatile=volatile, chance=self.answers.chance()
            ),
            model=named.group(1) if named else "",
        )


def _messages(prompt: str) -> list[BaseMessage] | None:
    """The messages in LangChain's prompt string, or None for a plain prompt."""
    try:
        listed = json.loads(prompt)
    except ValueError:
        return None
    if not isinstance(listed, list) or not listed:
        return None
    try:
        for item in listed:
            for name in ("usage_metadata", "response_metadata", "id"):
                item["kwargs"].pop(name, None)
        return [KINDS[item["id"][-1]](**item["kwargs"]) for item in listed]
    except Exception:  # noqa: BLE001 - anything else than messages: the string itself is the key
        return None


def _model_form(llm_string: str) -> Any:
    """The model string without what doesn't change the answer."""
    head, mark, tail = llm_string.partition("---")
    try:
        described = json.loads(head)
        kept = {
            name: value
            for name, value in described["kwargs"].items()
            if name not in IRRELEVANT_FIELDS or name in ("model", "model_name", "stop")
        }
        routed = route_of_names(described["kwargs"])
        kept = heeded(" ".join(map(str, described["id"])).lower(), kept)
        return {"class": described["id"], "kwargs": kept, "route": routed, "call": tail}
    except (ValueError, KeyError, TypeError, AttributeError):
        return head + mark + tail


def _given(hit: Hit | None) -> RETURN_VAL_TYPE | None:
    return None if hit is None else [fresh(generation) for generation in hit.entry.generations]


def fresh(generation: Generation) -> Generation:
    """A copy for one more run: no message id, and no tokens spent."""
    if not isinstance(generation, ChatGeneration):
        return generation.model_copy()
    message = cast("AIMessage", generation.message)
    metadata = {k: v for k, v in message.response_metadata.items() if k != "token_usage"}
    copy = message.model_copy(
        update={"id": None, "usage_metadata": dict(ZERO), "response_metadata": metadata}, deep=True
    )
    return ChatGeneration(message=copy, generation_info=generation.generation_info)
