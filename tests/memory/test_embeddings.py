"""Recall with embeddings: fused with words, through a setting, and never the turn's failure."""

import json
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from allotrope.exceptions import SettingsError
from allotrope.memory.archive.archive import Archive
from allotrope.memory.archive.sqlite import SqliteDatabase
from allotrope.memory.memory import ConversationMemory
from allotrope.memory.opening import open_memory
from allotrope.memory.recall.embeddings import Vectors, open_embed
from allotrope.settings import load_settings

THEMES = (("kickboxing", "martial", "karate"), ("rain", "weather"), ("bread", "bakery"))


class Themes(Embeddings):
    """A text's vector says which themes it touches: words that differ may mean the same."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return [0.01, *(float(any(w in text.lower() for w in theme)) for theme in THEMES)]


def remembering(embed: Any) -> ConversationMemory:
    memory = open_memory(
        load_settings(environ={}, env_file=None, memory={"summary": "off"}),
        archive=Archive(SqliteDatabase(":memory:")),
        embed=embed,
    )
    said: list[BaseMessage] = [HumanMessage("I go kickboxing on Mondays.", id="kick")]
    for number in range(30):
        said += [AIMessage(f"Fine {number}.", id=f"a{number}")]
        said += [HumanMessage(f"The rain went on for {number} days.", id=f"u{number}")]
    memory.settle(said, thread="t")
    return memory


def found(memory: ConversationMemory, question: str) -> list[str]:
    return [one.message.message_id for one in memory.recall.find("default", "t", question)]


def test_what_shares_no_word_is_found_by_meaning() -> None:
    plain, fused = remembering(None), remembering(Themes().embed_documents)
    try:
        assert "kick" not in found(plain, "Which martial arts do I do?")
        assert found(fused, "Which martial arts do I do?")[0] == "kick"
        packed = fused.fit(
            [HumanMessage("Which martial arts do I do?", id="q")], budget=600, thread="t"
        )
        assert "kickboxing" in str([m.content for m in packed.messages])
    finally:
        plain.close()
        fused.close()


def test_words_still_count_where_meaning_is_silent() -> None:
    memory = remembering(Themes().embed_documents)
    try:
        assert "kick" in found(memory, "Mondays?")[:6]
    finally:
        memory.close()


def test_an_embedder_that_sees_nothing_in_a_long_output_takes_it_from_no_prompt() -> None:
    def noisy(texts: Sequence[str]) -> Sequence[Sequence[float]]:
        # everything is near to the question but what is long
        return [[0.0, 1.0] if len(text) > 500 else [1.0, len(text) / 900] for text in texts]

    rows = "\n".join(f"order {n}, paid {n * 7}, shelf {n % 9}" for n in range(400))
    for embed in (None, noisy):
        memory = remembering(embed)
        try:
            memory.settle([AIMessage(rows, id="rows")], thread="t")
            filler = [HumanMessage(f"Fog number {n}.", id=f"f{n}") for n in range(60)]
            memory.settle(filler, thread="t")
            assert found(memory, "What was paid for order 333?")[0] == "rows"
        finally:
            memory.close()


def test_equal_vectors_of_all_messages_change_nothing() -> None:
    plain, same = remembering(None), remembering(lambda texts: [[1.0, 1.0] for _ in texts])
    try:
        question = "rain on Mondays"
        assert found(same, question)[:3] == found(plain, question)[:3]
    finally:
        plain.close()
        same.close()


def test_a_failing_embedder_costs_nothing_but_itself(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    def down(texts: Sequence[str]) -> Sequence[Sequence[float]]:
        calls.append(len(texts))
        raise ConnectionError("a secret text")

    memory, plain = remembering(down), remembering(None)
    try:
        for _ in range(3):
            assert found(memory, "rain on Mondays") == found(plain, "rain on Mondays")
        assert len(calls) == 1, "it is left alone for a while"
    finally:
        memory.close()
        plain.close()
    assert "ConnectionError" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("wrong", [[], [[1.0]], [[1.0], [1.0, 2.0]]])
def test_nonsense_vectors_count_as_a_failure_and_are_asked_again(wrong: list[list[float]]) -> None:
    now = [0.0]
    answers = [wrong, [[1.0], [2.0]]]
    vectors = Vectors(lambda texts: answers.pop(0), clock=lambda: now[0])
    assert vectors.of(["a", "b"]) is None
    assert vectors.of(["a", "b"]) is None
    now[0] = 61.0
    assert vectors.of(["a", "b"]) == [[1.0], [2.0]]
    assert vectors.of(["b"]) == [[2.0]], "what is known isn't asked again"


class Endpoint(BaseHTTPRequestHandler):
    """OpenAI's embeddings, in its wire format."""

    seen: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Endpoint.seen.append({"path": self.path, "key": self.headers["Authorization"], **body})
        data = [
            {"object": "embedding", "index": index, "embedding": Themes().embed_query(text)}
            for index, text in enumerate(body["input"])
        ]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        answer = {"object": "list", "data": data, "model": body["model"], "usage": usage}
        raw = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: Any) -> None:
        """Silent."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    Endpoint.seen = []
    with HTTPServer(("127.0.0.1", 0), Endpoint) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


def test_the_setting_opens_the_named_model(endpoint: str) -> None:
    settings = load_settings(
        environ={
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": endpoint,
            "ALLOTROPE_MEMORY__EMBEDDINGS": "openai:text-embedding-3-small",
        },
        env_file=None,
        memory={"summary": "off"},
    )
    embed = open_embed(settings)
    assert embed is not None
    assert Endpoint.seen == [], "nothing is opened before the first use"
    assert list(embed(["karate", "bakery"])) == Themes().embed_documents(["karate", "bakery"])
    [request] = Endpoint.seen
    assert request["path"] == "/v1/embeddings"
    assert request["key"] == "Bearer sk-test"
    assert request["model"] == "text-embedding-3-small"


def test_without_the_setting_there_are_none_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    assert open_embed(load_settings(environ={}, env_file=None)) is None
    settings = load_settings(
        environ={}, env_file=None, data_dir=tmp_path, memory={"embeddings": "nobody:model"}
    )
    embed = open_embed(settings)
    assert embed is not None
    with pytest.raises(SettingsError, match="nobody:model"):
        embed(["x"])
    with pytest.raises(SettingsError):
        load_settings(environ={}, env_file=None, memory={"embeddings": "no colon"})
