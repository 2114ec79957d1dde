"""OpenAI's chat models with timeouts and without hidden retries."""

import time
from difflib import get_close_matches
from typing import Any

import httpx2
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatResult
from pydantic import PrivateAttr, model_validator

from allotrope.contracts import Provenance, Succession
from allotrope.exceptions import (
    ModelGoneError,
    ParameterRefusedError,
    PermissionRefusedError,
    ProviderError,
    RequestRejectedError,
    SettingsError,
    UnknownModelError,
)
from allotrope.models.cache.model import CachingChatModel
from allotrope.models.call.guard import Call
from allotrope.models.call.guarded import GuardedChatModel
from allotrope.models.call.prompt_caching import with_cache_key, with_cache_mark
from allotrope.models.call.repairs import ENDPOINT, apply_repairs, repair_for
from allotrope.models.call.replies import is_countable
from allotrope.models.catalogue.facts import Reason, Repair
from allotrope.models.catalogue.lifecycle import Lifecycles
from allotrope.models.failures.errors import RETIRED
from allotrope.models.providers.capabilities import openai_capabilities
from allotrope.models.providers.content import made_by, plain
from allotrope.models.providers.http import async_client, sync_client
from allotrope.settings.sections import OpenAISettings
from allotrope.support.compat.openai_chat import HookedChatOpenAI

STATELESS = {"store": False}
"""Argument of a request to the Responses API: nothing is kept there."""
SEALED = {"include": ["reasoning.encrypted_content"]}
"""Of a model that reasons: its reasoning comes back sealed, and goes along with the next request to
the same model. Others refuse it."""


class OpenAIChat(CachingChatModel, GuardedChatModel, HookedChatOpenAI):
    """`ChatOpenAI` with clear errors and provenance, that knows its predecessors and successors."""

    provider: str = "openai"

    @model_validator(mode="before")
    @classmethod
    def _for_any_loop(cls, data: Any) -> Any:
        """Sync calls have an event loop of their own, and loops can't share connections."""
        if not isinstance(data, dict) or data.get("http_async_client") or data.get("async_client"):
            return data
        return {**data, "http_async_client": async_client(httpx2.Timeout(600.0, connect=5.0))}

    _lifecycles: Lifecycles | None = PrivateAttr(default=None)
    _wanted: str = PrivateAttr(default="")

    def serve(self, lifecycles: Lifecycles, *, wanted: str) -> None:
        """Tells the model whose place in a line it has.

        Args:
            lifecycles: Who serves, and what was learnt.
            wanted: The model that the settings ask for: this one, or one it takes over from.
        """
        self._lifecycles, self._wanted = lifecycles, wanted

    @property
    def lifecycles(self) -> Lifecycles | None:
        """Who serves, and what was learnt; None for a model without a line."""
        return self._lifecycles

    @property
    def wanted(self) -> str:
        """The model that the settings ask for."""
        return self._wanted or self.model_name

    def serves(self) -> bool:
        """Whether this is the model of its line that answers now."""
        found = self._lifecycles
        return found is None or found.serving(self.wanted) == self.model_name

    def succession(self) -> Succession | None:
        """In whose place this model answers."""
        found = self._lifecycles
        return None if found is None else found.succession(self.wanted, self.model_name)

    def prepare(
        self, messages: list[BaseMessage], kwargs: dict[str, Any]
    ) -> tuple[list[BaseMessage], dict[str, Any]]:
        """Leaves out what another model sealed, and speaks the API that this model was found to."""
        for repair in self._repairs():
            if repair.parameter == ENDPOINT:
                self._speak(responses=repair.value == "responses")
        recent = _recent(messages)
        ready = [
            m if at >= recent and self._reads(m) else plain(m) for at, m in enumerate(messages)
        ]
        return with_cache_mark(ready, self.model_name), with_cache_key(kwargs, self.model_name)

    def stamp(self, call: Call, reported: str | None, *, streamed: bool = False) -> Provenance:
        """The provenance of a reply. That this model answers here is noted in the background."""
        if self._lifecycles is not None:
            took_s = time.perf_counter() - call.started
            self._lifecycles.answered(self.model_name, took_s=took_s)
        return super().stamp(call, reported, streamed=streamed)

    def judged(self, error: ProviderError, cause: BaseException) -> ProviderError:
        """Tells a model that ended from a misspelt one, and what can be left out from what can't.

        Args:
            error: One of our classes.
            cause: What the client raised.
        """
        if isinstance(error, RequestRejectedError | UnknownModelError):
            repair = self._repair(error, cause)
            if repair is not None:
                return self._repaired(error, repair)
        if isinstance(error, UnknownModelError | PermissionRefusedError):
            return self._gone(error, cause)
        return error

    def more_arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a request; nothing is kept at the Responses API."""
        if not self.use_responses_api:
            return arguments
        sealed = SEALED if openai_capabilities(self.model_name).reasoning else {}
        return {**STATELESS, **sealed, **arguments}

    def finished(self, payload: dict[str, Any]) -> dict[str, Any]:
        """The request; tools and input go past the client's check of each of their fields.

        That check walks through every schema and message at every request (1 to 2 ms for five
        tools, a millisecond for each message of a conversation), although LangChain has brought
        them into the provider's form already.
        """
        if repairs := self._repairs():
            apply_repairs(payload, repairs)
        if "response_format" in payload or "text" in payload:
            return payload  # the client's parsing of answers reads them
        responses = self.speaks_responses(payload)
        unchecked = [name for name in ("tools", "input" if responses else "") if name in payload]
        if unchecked:
            body = {name: payload.pop(name) for name in unchecked}
            payload["extra_body"] = {**(payload.get("extra_body") or {}), **body}
        return payload

    def answered(self, result: ChatResult) -> ChatResult:
        """The answer; a count of tokens that is no whole number is left out, not the answer."""
        for generation in result.generations:
            message = generation.message
            if isinstance(message, AIMessage) and not is_countable(message.usage_metadata):
                message.usage_metadata = None
                message.response_metadata.pop("token_usage", None)
                result.llm_output = {**(result.llm_output or {}), "token_usage": None}
        return result

    def received(self, chunk: dict[str, Any]) -> dict[str, Any]:
        """As for a whole answer."""
        return chunk if is_countable(chunk.get("usage")) else {**chunk, "usage": None}

    # -- inside -----------------------------------------------------------------------------------

    def _repairs(self) -> tuple[Repair, ...]:
        return () if self._lifecycles is None else self._lifecycles.repairs(self.model_name)

    def _speak(self, *, responses: bool) -> None:
        if self.use_responses_api is not responses:
            self.use_responses_api = responses
            self.output_version = "responses/v1" if responses else None

    def _reads(self, message: BaseMessage) -> bool:
        """Whether a message may go to this model as it is: no other's sealed reasoning in it."""
        if not isinstance(message, AIMessage) or isinstance(message.content, str):
            return True
        if not self.use_responses_api or self._lifecycles is None:
            return self._lifecycles is None
        return self._lifecycles.key(made_by(message)) == self._lifecycles.key(self.model_name)

    def _repair(self, error: ProviderError, cause: BaseException) -> Repair | None:
        if self._lifecycles is None:
            return None
        found = repair_for(
            code=error.code, parameter=getattr(cause, "param", None), message=str(cause)
        )
        if found is None and self.use_responses_api and error.status == 404 and _no_such_url(cause):
            found = Repair(
                parameter=ENDPOINT, value="chat", at=self._lifecycles.now(), said=str(cause)[:200]
            )
        known = {(r.parameter, r.refused, r.value) for r in self._repairs()}
        if found is None or (found.parameter, found.refused, found.value) in known:
            return None  # it was changed already, and that didn't help
        return found

    def _repaired(self, error: ProviderError, repair: Repair) -> ProviderError:
        assert self._lifecycles is not None
        self._lifecycles.learn(self.model_name, repair)
        return ParameterRefusedError(
            repair.sentence(self.model_name),
            provider=error.provider,
            model=error.model,
            code=error.code,
            status=error.status,
        )

    def _gone(self, error: ProviderError, cause: BaseException) -> ProviderError:
        """The error, or that this model no longer serves, where it is one of a line."""
        found, name = self._lifecycles, self.model_name
        if found is None:
            return error
        if not found.known(name):
            near = get_close_matches(name, found.catalogue.models, n=1, cutoff=0.75)
            if near and isinstance(error, UnknownModelError):
                error = UnknownModelError(
                    error.message,
                    hint=f"Did you mean {near[0]!r}?",
                    provider=error.provider,
                    model=name,
                    code=error.code,
                    status=error.status,
                )
            return error
        names = found.line(self.wanted)
        may_not = isinstance(error, PermissionRefusedError)
        # without a model's name in it, a 404 may be the wrong address, and a 403 the wrong project
        about = error.code is not None or name in str(cause)
        last = name == names[-1]
        if about and last and len(names) > 1 and isinstance(error, UnknownModelError):
            found.nobody_left(self.wanted)
        if not about or last or (may_not and name == self.wanted):
            return error
        reason: Reason = "retired" if error.code == RETIRED else "refused"
        found.mark_gone(name, reason=reason, said=str(cause))
        return ModelGoneError(
            f"{error.message} {names[names.index(name) + 1]} is asked in its place.",
            provider=error.provider,
            model=name,
            code=error.code,
            status=error.status,
        )


def _recent(messages: list[BaseMessage]) -> int:
    """Where the last two turns begin: the API ignores the sealed reasoning of earlier ones."""
    asked = [at for at, message in enumerate(messages) if message.type == "human"]
    return asked[-2] if len(asked) > 1 else 0


def _no_such_url(cause: BaseException) -> bool:
    """Whether a 404 is about the address, not about the model: the server has no such API."""
    text = str(cause).lower()
    return "invalid url" in text or ("not found" in text and "model" not in text)


def build_openai(settings: OpenAISettings, **arguments: Any) -> OpenAIChat:
    """The OpenAI model of the settings. No request is made.

    Args:
        settings: Key, address, model and timeouts.
        arguments: More arguments of `ChatOpenAI`, such as a profile's `reasoning_effort`.

    Raises:
        SettingsError: There is no key.
    """
    if settings.api_key is None:
        raise SettingsError("There is no OpenAI key.", hint="Set OPENAI_API_KEY.")
    timeout = httpx2.Timeout(settings.timeout_s, connect=settings.connect_timeout_s)
    given: dict[str, Any] = {
        "model": settings.model,
        "api_key": settings.api_key,
        "base_url": settings.base_url,
        "organization": settings.organization,
        "timeout": timeout,
        "max_retries": 0,
        "stream_usage": True,
        # it also waits for the first chunk, which a reasoning model sends late
        "stream_chunk_timeout": max(settings.first_token_timeout_s, settings.idle_timeout_s),
        "http_client": sync_client(timeout, total_s=settings.timeout_s),
        "http_async_client": async_client(timeout),
    }
    given |= arguments
    if settings.use_responses_api is not None:
        given["use_responses_api"] = settings.use_responses_api
    if given.get("use_responses_api"):
        given.setdefault("output_version", "responses/v1")
    return OpenAIChat(**given)
