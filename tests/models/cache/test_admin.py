"""Operating the cache: statistics, invalidation, false hits, limits; and the command line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration
from typer.testing import CliRunner

from allotrope.cli.app import app
from allotrope.models.cache import RedisCache
from allotrope.models.cache.admin import CacheAdmin
from allotrope.models.cache.answers import AnswerCache, CacheCall
from allotrope.models.cache.policy import Request
from allotrope.models.cache.storage import commands as store
from allotrope.models.cache.storage.codec import Codec, StoredAnswer, UnreadableEntryError
from allotrope.models.cache.storage.memory import MemoryRedis
from allotrope.models.providers.openai import OpenAIChat
from allotrope.settings.cache import CacheSettings
from allotrope.testing import ProviderSimulator

MakeChat = Callable[..., OpenAIChat]


def _call(answers: AnswerCache, digest: str, **request: str) -> CacheCall:
    asked = Request(**request)  # type: ignore[arg-type]  # names and texts
    return CacheCall(
        part=answers.partition(asked), digest=digest, request=asked, ttl_s=100, model="gpt-4o"
    )


def _put(answers: AnswerCache, digest: str, text: str = "a", **request: str) -> None:
    call = _call(answers, digest, **request)
    entry = answers.entry_of(call, [ChatGeneration(message=AIMessage(text))])
    assert entry is not None
    assert answers.put(call, entry)


@pytest.fixture(params=["redis", "memory"])
def answers(request: pytest.FixtureRequest, cache: RedisCache) -> AnswerCache:
    """The same cases over Redis and over the process's memory."""
    settings = CacheSettings(max_entries=3, timeout_s=5)
    if request.param == "memory":
        return AnswerCache(MemoryRedis(), settings=settings)
    cache.answers.settings = settings
    return cache.answers


def test_the_least_recently_used_goes_first(answers: AnswerCache) -> None:
    for name in ("a", "b", "c"):
        _put(answers, name)
    assert answers.get(_call(answers, "a")) is not None
    _put(answers, "d")
    assert answers.get(_call(answers, "b")) is None
    assert all(answers.get(_call(answers, name)) is not None for name in ("a", "c", "d"))
    (stats,) = CacheAdmin(answers).stats()
    assert (stats.entries, stats.evictions, stats.misses) == (3, 1, 1)
    assert stats.hits["exact"] == 4


def test_bytes_are_limited_too(answers: AnswerCache) -> None:
    answers.settings = CacheSettings(max_bytes=4000, max_entries=100, compress_over_bytes=10**6)
    answers.codec = Codec(compress_over=10**6)
    for number in range(20):
        _put(answers, str(number), "x" * 300)
    (stats,) = CacheAdmin(answers).stats()
    assert 0 < stats.bytes <= 4000
    assert stats.entries < 10
    call = _call(answers, "too huge")
    entry = answers.entry_of(call, [ChatGeneration(message=AIMessage("x" * 2000))])
    assert entry is not None
    assert not answers.put(call, entry), "one answer must not push out all others"


def test_invalidation_by_tag_key_age_tenant(answers: AnswerCache) -> None:
    answers.settings = CacheSettings(max_entries=100)
    admin = CacheAdmin(answers)
    _put(answers, "a1", prompt="p@1")
    _put(answers, "a2", prompt="p@2")
    _put(answers, "b1", prompt="p@1", tenant="t")
    assert admin.invalidate(tags=["prompt=p@1"]) == 2
    assert admin.invalidate(tags=["model=gpt-4o", "prompt=p@9"]) == 0
    assert admin.invalidate(key="a2") == 1
    _put(answers, "c")
    assert admin.invalidate(older_than_s=100) == 0
    assert admin.invalidate(tenant="t") == 0
    assert admin.invalidate(older_than_s=0, tenant="default") in (0, 1)
    assert answers.clear() > 0
    assert admin.stats() == []


def test_a_wrong_answer_is_taken_out_and_counted(
    cache: RedisCache, make_chat: MakeChat, simulator: ProviderSimulator
) -> None:
    model, admin = make_chat(), CacheAdmin(cache.answers)
    model.invoke("q", {"metadata": {"allotrope_run_id": "paid"}})
    model.invoke("q", {"metadata": {"allotrope_run_id": "free"}})
    assert admin.report_wrong("unknown") == []
    assert admin.report_wrong("free") == ["exact"]
    model.invoke("q")
    assert len(simulator.chats()) == 2
    (stats,) = admin.stats()
    assert stats.false_hits["exact"] == 1
    assert stats.saved["o3"]["output_tokens"] > 0


def test_stored_values_are_compressed_encrypted_and_strict() -> None:
    entry = StoredAnswer(generations=(ChatGeneration(message=AIMessage("secret " * 500)),))
    plain, small = Codec(compress_over=10**9).dump(entry), Codec().dump(entry)
    assert len(small) < len(plain) / 5
    key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
    locked = Codec(key=key, compress_over=10**9).dump(entry)
    assert b"secret" not in locked
    assert Codec(key=key).load(locked).generations[0].text == entry.generations[0].text
    for codec, data in (
        (Codec(), locked),
        (Codec(key=key), plain),
        (Codec(key="B" * 43 + "="), locked),
        (Codec(), b"\x80\x04."),
        (Codec(), plain[:-5]),
        (Codec(), b"A1\x01nonsense"),
    ):
        with pytest.raises(UnreadableEntryError):
            codec.load(data)


def test_all_keys_of_a_partition_share_one_cluster_slot(cache: RedisCache) -> None:
    part = cache.answers.partition(Request(tenant="a{b}c", agent="x"))
    keys = [part.key(kind, "n") for kind in "eftvr"] + list(part.books())
    assert {key[key.index("{") + 1 : key.index("}")] for key in keys} == {part.id}
    assert store.partitions_key("p:") == "p:cache:partitions"


def test_the_command_line(
    cache: RedisCache, make_chat: MakeChat, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    redis_url: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("ALLOTROPE_REDIS__URL", redis_url)
    monkeypatch.setenv("ALLOTROPE_REDIS__PREFIX", cache.answers.prefix)
    monkeypatch.setenv("ALLOTROPE_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    model = make_chat()
    for _ in range(3):
        model.invoke("q", {"metadata": {"allotrope_run_id": "r1", "allotrope_agent": "helper"}})

    def run(*arguments: str) -> dict[str, object]:
        result = CliRunner().invoke(app, ["cache", *arguments, "--json"])
        assert result.exit_code == 0, result.output
        body: dict[str, object] = json.loads(result.stdout)
        return body

    (part,) = run("stats")["partitions"]  # type: ignore[misc]  # a list
    assert part["hits"]["exact"] == 2
    assert part["agent"] == "helper"
    assert part["saved_usd"] is not None
    (entry,) = run("show")["entries"]  # type: ignore[misc]  # a list
    assert run("show", entry["key"][:6])["model"] == "o3"
    monkeypatch.setenv("COLUMNS", "80")  # a common terminal: nothing may be cut off
    shown = CliRunner().invoke(app, ["cache", "stats"]).stdout
    assert "default/helper" in shown
    assert "2 exact" in shown
    assert "…" not in shown
    shown = CliRunner().invoke(app, ["cache", "show"]).stdout
    assert entry["key"][:12] in shown
    assert "run=r1" in shown
    assert "…" not in shown
    assert run("report-wrong", "r1")["removed"] == ["exact"]
    assert run("invalidate", "--agent", "helper") == {"removed": 0}
    assert CliRunner().invoke(app, ["cache", "invalidate"]).exit_code != 0
    assert run("clear")["removed"] != 0
    for command in ("stats", "show"):
        assert CliRunner().invoke(app, ["cache", command]).stdout == "Nothing is cached here.\n"


def test_calibrate_from_the_command_line(tmp_path: Path) -> None:
    import numpy as np

    rows, texts = [], set()
    for number in range(220):
        other = f"How to bake bread {'well' if number % 2 else 'with a drill'} v{number % 7}?"
        mine = f"How do I bake bread well v{number % 7}?"
        rows.append({"a": mine, "b": other, "same": number % 2})
        texts |= {mine, other}
    pairs, vectors = tmp_path / "pairs.jsonl", tmp_path / "v.npz"
    pairs.write_text("\n".join(json.dumps(row) for row in rows))
    rng = np.random.default_rng(0)
    np.savez(vectors, texts=sorted(texts), vectors=rng.normal(size=(len(texts), 8)))
    out = tmp_path / "gate.json"
    arguments = ["cache", "calibrate", str(pairs), "--vectors", str(vectors), "--out", str(out)]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["pairs"] == 220
    assert out.is_file()
    pairs.write_text('{"a": 1}')
    assert CliRunner().invoke(app, arguments).exit_code != 0
