"""A canary for each private part of another package that `allotrope.support.compat` uses.

One that fails says what a new version of the package changed; the module there says what is lost.
"""

import contextlib
import inspect
import threading
from typing import Any

import httpx
import httpx2
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableLambda, RunnableParallel

from allotrope.support.compat.httpx import transports_of, wrap_body, wrap_network
from allotrope.support.compat.langchain import branches_of
from allotrope.support.compat.openai import profile_table
from allotrope.testing import ProviderSimulator


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_a_client_has_its_transports_where_we_look(library: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with library.Client() as client:
        found = transports_of(client)
    said = f"{library.__name__}.Client keeps its transports elsewhere than in _transport, _mounts"
    assert len(found) == 2, said
    assert all(isinstance(one, library.BaseTransport) for one in found), said


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_network_and_body_of_an_exchange_can_be_watched(library: Any) -> None:
    seen: list[str] = []

    class Backend:
        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            seen.append(name)
            return getattr(self._inner, name)

    def body(inner: Any) -> Any:
        seen.append("body")
        return inner

    transport = library.HTTPTransport()
    wrapped = wrap_network(transport, Backend)
    assert wrapped, f"{library.__name__}.HTTPTransport has no _pool any more"
    handle = transport.handle_request

    def handle_request(request: Any) -> Any:
        response = handle(request)
        wrap_body(response, body)
        return response

    transport.handle_request = handle_request
    with ProviderSimulator() as simulator, library.Client(transport=transport) as client:
        client.get(f"{simulator.openai_url}/models")
    name = library.__name__
    assert "connect_tcp" in seen, f"{name}'s pool takes its backend from elsewhere"
    assert "body" in seen, f"{name}'s answers keep the body elsewhere than in _httpcore_stream"


def test_the_branches_of_a_parallel_runnable_are_found() -> None:
    one, two = RunnableLambda(lambda x: x), RunnableLambda(lambda x: x)
    found = list(branches_of(RunnableParallel(one=one, two=two)))
    assert found == [one, two], "RunnableParallel keeps its branches elsewhere than in steps__"
    assert not list(branches_of(one))


def test_langchain_makes_each_call_of_a_batch_by_the_method_that_we_stand_around() -> None:
    made = inspect.getsource(BaseChatModel.agenerate)
    assert "self._agenerate_with_cache(" in made, "agenerate makes its calls by another method"
    assert "_get_ls_params" in made, "traces get the model's name from another method"


def test_the_table_of_openais_models_is_where_we_look() -> None:
    table = profile_table()
    assert "o3" in table, "langchain-openai keeps its table elsewhere than in data/_profiles.py"
    known = table["o3"]
    assert known["max_input_tokens"] == 200_000, "langchain-openai's table has other names"


def test_the_hooks_of_langchains_openai_client_are_called() -> None:
    from langchain_openai.chat_models.base import BaseChatOpenAI

    from allotrope.support.compat.openai_chat import HookedChatOpenAI

    called: list[str] = []

    class Noted(HookedChatOpenAI):
        def more_arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
            called.append("more_arguments")
            return arguments

        def finished(self, payload: dict[str, Any]) -> dict[str, Any]:
            called.append("finished")
            assert not self.speaks_responses(payload)
            return payload

        def answered(self, result: Any) -> Any:
            called.append("answered")
            return result

        def received(self, chunk: dict[str, Any]) -> dict[str, Any]:
            called.append("received")
            return chunk

    with ProviderSimulator() as simulator:
        model = Noted(model="gpt-4o", base_url=simulator.openai_url, api_key="sk-x", max_retries=0)  # type: ignore[arg-type]
        model.invoke("Hello")
        list(model.stream("Hello"))
        with contextlib.suppress(Exception):
            model.root_client.close()
    wanted = {"more_arguments", "finished", "answered", "received"}
    assert set(called) == wanted, f"langchain-openai no longer calls {wanted - set(called)}"
    assert callable(BaseChatOpenAI._use_responses_api)


def test_a_mail_servers_connection_is_made_by_the_method_that_we_stand_around() -> None:
    import socket

    from allotrope.support.compat.smtp import BoundedSMTP

    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as ends:
        port = server.getsockname()[1]

        def greet() -> None:
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                connection.sendall(b"220 hello\r\n")
                ends.callback(connection.close)

        thread = threading.Thread(target=greet)
        thread.start()
        mail = BoundedSMTP("127.0.0.1", port, timeout=60.0, ends=ends)
        thread.join()
        timers = [one for one in threading.enumerate() if one.name == "allotrope-deadline"]
        mail.close()
        assert timers, "smtplib makes its connection by another method than _get_socket"


def test_langgraphs_postgres_savers_take_their_cursor_from_the_method_that_we_replace() -> None:
    pytest.importorskip("psycopg")
    from langgraph.checkpoint.postgres import PostgresSaver
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

    for saver in (PostgresSaver, AsyncPostgresSaver):
        read = inspect.getsource(saver)
        assert "self._cursor(" in read, f"{saver.__name__} takes its cursors from elsewhere"
        parameters = set(inspect.signature(saver._cursor).parameters)
        assert parameters == {"self", "pipeline"}, f"{saver.__name__}._cursor takes {parameters}"
