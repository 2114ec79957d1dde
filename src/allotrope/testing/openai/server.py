"""The simulated OpenAI's side of a request: the key, the model, its rules, and what it keeps."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from allotrope.testing import checks, errors
from allotrope.testing.content import catalog
from allotrope.testing.content.catalog import SimModel
from allotrope.testing.content.lifecycles import SimulatedLifecycles
from allotrope.testing.content.replies import Reply, SimRequest, Turn
from allotrope.testing.content.tokens import Counter
from allotrope.testing.http.wire import Answer, settle
from allotrope.testing.openai import chat as openai_chat
from allotrope.testing.openai import responses as openai_responses
from allotrope.testing.openai.prompt_caching import CacheUse, PromptCache
from allotrope.testing.openai.reasoning_items import Items

_EFFORT_FACTOR = {"none": 0.0, "minimal": 0.25, "low": 0.5, "high": 2.0, "xhigh": 4.0, "max": 8.0}


class OpenAIServer:
    """OpenAI's models and what it keeps between requests.

    Args:
        keys: The keys it accepts; None accepts every key but none at all.
        models: Models besides those of the catalogue, by name; they win over it.
        lifecycles: When its models are there.
        cache: The prompt cache; None plays none.
    """

    def __init__(
        self,
        *,
        keys: Collection[str] | None,
        models: Mapping[str, SimModel],
        lifecycles: SimulatedLifecycles,
        cache: PromptCache | None = None,
    ) -> None:
        self.lifecycles = lifecycles
        self._cache = cache
        self._keys = keys
        self._models = {**catalog.MODELS, **models}
        self._alias = {m.snapshot: m.name for m in self._models.values() if m.snapshot}
        self._conversations: dict[str, tuple[Turn, ...]] = {}
        self._items = Items()

    def reset(self) -> None:
        """Forgets conversations, items and what happened to models."""
        self._conversations = {}
        self._items = Items(seal=self._items.seal)
        self.lifecycles.reset()
        if self._cache is not None:
            self._cache.clear()

    def rules(self, name: str) -> SimModel:
        """The rules of a model, by its name or its snapshot's."""
        return self._models.get(self._alias.get(name, name)) or catalog.model_rules(name)

    def snapshot(self, name: str) -> str:
        """The name its replies carry."""
        return self.rules(name).snapshot or name

    # -- checking ------------------------------------------------------------------------------

    def check(self, request: SimRequest, headers: Mapping[str, str]) -> None:
        """Refuses what the real API refuses, and reads the rest into `request.asked`.

        Raises:
            ErrorReply: The error the real API answers with.
        """
        request.account = self._account(headers)
        if request.api == "other":
            return
        self._present(request)
        body, rules = request.body, self.rules(request.model)
        if request.api == "chat":
            openai_chat.check_messages(body.get("messages"))
            checks.check_chat(body, rules)
            checks.check_parts(body, rules)
            request.asked = openai_chat.read(body)
        elif request.api == "responses":
            checks.check_responses(body, rules)
            checks.check_parts(body, rules)
            request.asked = openai_responses.read(
                self._with_items(request), before=self._before(body)
            )

    def _account(self, headers: Mapping[str, str]) -> str:
        key = headers.get("authorization", "").removeprefix("Bearer ").strip()
        if not key:
            raise errors.missing_key()
        if self._keys is not None and key not in self._keys:
            raise errors.wrong_key(key)
        return hashlib.sha256(key.encode()).hexdigest()[:12]

    def _present(self, request: SimRequest) -> None:
        model = request.model
        if request.api != "embeddings" and model not in self._models and model not in self._alias:
            raise errors.unknown_model(model)
        refusal = self.lifecycles.refusal(model, self._names(model), request.at)
        if refusal is not None:
            raise refusal

    def _names(self, name: str) -> tuple[str, ...]:
        alias = self._alias.get(name, name)
        return (name,) if alias == name else (name, alias)

    def _before(self, body: Mapping[str, Any]) -> tuple[Turn, ...]:
        previous = body.get("previous_response_id")
        if previous is None:
            return ()
        if previous not in self._conversations:
            raise errors.openai_error(
                400,
                f"Previous response with id '{previous}' not found.",
                code="previous_response_not_found",
                param="previous_response_id",
            )
        return self._conversations[previous]

    def _with_items(self, request: SimRequest) -> Mapping[str, Any]:
        given = request.body.get("input")
        if not isinstance(given, list):
            return request.body
        items = self._items.read(
            given,
            account=request.account,
            model=self.snapshot(request.model),
            store=bool(request.body.get("store", True)),
            chained=request.body.get("previous_response_id") is not None,
        )
        return {**request.body, "input": items}

    # -- answering -----------------------------------------------------------------------------

    def settle(
        self,
        request: SimRequest,
        reply: Reply,
        *,
        created: int,
        counter: Counter,
        reasoning_tokens: int,
    ) -> Answer:
        """Makes a reply ready for the wire, as the model that was asked gives it.

        Args:
            request: The request.
            reply: What is answered.
            created: Unix time in seconds.
            counter: Tokens of a text.
            reasoning_tokens: Hidden tokens at medium effort.

        Raises:
            ErrorReply: The prompt is too long for the model.
        """
        rules, responses = self.rules(request.model), request.api == "responses"
        effort = rules.effort(request.asked.effort)
        hidden = int(reasoning_tokens * _EFFORT_FACTOR.get(effort or "", 1.0))
        answer = settle(
            reply,
            request.asked,
            model=self.snapshot(request.model),
            created=created,
            counter=counter,
            reasoning_tokens=hidden if rules.reasons else 0,
        )
        if reply.input_tokens is None and answer.input_tokens > rules.longest_prompt:
            raise errors.context_overflow(
                limit=rules.longest_prompt,
                tokens=answer.input_tokens,
                variant=2 if responses else 0,
                param="input" if responses else "messages",
            )
        use = CacheUse(0, 0 if rules.cache_breakpoints else None)
        if self._cache is not None and reply.input_tokens is None:
            use = self._cache.use(request, rules)
        if reply.cached_tokens is None:
            answer = replace(answer, cached_tokens=use.read)
        if reply.cache_write_tokens is None:
            answer = replace(answer, cache_write_tokens=use.written)
        if rules.reasons and effort != "none":
            sealed = self._sealed(request, answer.id)
            answer = replace(answer, thought=True, sealed=sealed)
        return replace(answer, effort=effort)

    def _sealed(self, request: SimRequest, answer_id: str) -> str | None:
        if "reasoning.encrypted_content" not in (request.body.get("include") or []):
            return None
        model = self.snapshot(request.model)
        return self._items.seal.close(f"rs_{answer_id}", account=request.account, model=model)

    def keep(self, request: SimRequest, answer: Answer) -> None:
        """Keeps an answer of the Responses API for later requests, unless `store` is false."""
        if request.api != "responses" or not request.body.get("store", True):
            return
        calls = tuple(call_id for call_id, _, _ in answer.tool_calls)
        said = Turn("assistant", answer.text, tool_call_ids=calls)
        self._conversations[f"resp_{answer.id}"] = (*request.asked.turns, said)
        self._items.keep(request.account, openai_responses.items(answer))

    def listing(self, path: str, elapsed_s: float) -> dict[str, Any]:
        """The answer to `GET /v1/models` or `/v1/models/{id}`.

        Raises:
            ErrorReply: There is no model list, or no such model.
        """
        every = {*self._models, *self._alias, *catalog.EMBEDDERS}
        names = {name: self._names(name) for name in every}
        return self.lifecycles.listing(path, names, elapsed_s)
