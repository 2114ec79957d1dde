"""`allotrope batch`: every item once, whatever happens in between; and `allotrope agents`."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import pytest

from allotrope.agents import registry
from allotrope.agents.batch import BatchLine, Tally, run_batch
from allotrope.agents.reply import Reply
from allotrope.testing import ProviderSimulator
from allotrope.testing import Reply as Said


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(path: Path, *items: object) -> Path:
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


@pytest.mark.parametrize("way", ["same", "link", "other spelling"])
def test_the_output_is_never_the_input(cli, tmp_path: Path, way: str) -> None:
    source = write(tmp_path / "in.jsonl", {"text": "one"})
    before = source.read_bytes()
    out = {
        "same": source,
        "link": tmp_path / "out.jsonl",
        "other spelling": tmp_path / "." / "x" / ".." / "in.jsonl",
    }[way]
    (tmp_path / "x").mkdir()
    if way == "link":
        out.symlink_to(source)
    ran = cli("batch", "assistant", str(source), str(out))
    assert ran.code == 2
    assert "is the input too" in ran.err
    assert source.read_bytes() == before


def test_every_item_gets_its_line(cli, simulator: ProviderSimulator, tmp_path: Path) -> None:
    source = write(tmp_path / "in", {"id": "a", "text": "one"}, "two", {"text": "three"})
    out = tmp_path / "out"
    ran = cli("batch", "assistant", str(source), str(out), "--json")
    assert ran.code == 0, ran.err
    tally = json.loads(ran.out)
    assert (tally["total"], tally["answered"], tally["failed"]) == (3, 3, 0)
    answers = {row["id"]: row["answer"] for row in rows(out)}
    assert answers == {"a": "Echo: one", "2": "Echo: two", "3": "Echo: three"}
    assert float(tally["cost_usd"]) > 0


def test_it_goes_on_where_it_stopped(cli, simulator: ProviderSimulator, tmp_path: Path) -> None:
    source = write(tmp_path / "in", "one", "two", "three")
    out = tmp_path / "out"
    out.write_text('{"id": "1", "answer": "done"}\n{"id": "2", "error": {}}\n{"id": "3", "ans')
    ran = cli("batch", "assistant", str(source), str(out), "--json")
    assert json.loads(ran.out)["skipped"] == 1
    assert sorted(r.text for r in simulator.requests) == ["three", "two"]
    found = out.read_text().splitlines()
    assert found[2] == '{"id": "3", "ans'
    assert {json.loads(line)["id"] for line in found[3:]} == {"2", "3"}


def test_one_bad_item_fails_alone(cli, simulator: ProviderSimulator, tmp_path: Path) -> None:
    source = write(tmp_path / "in", {"text": "fine"}, {"text": "bad", "thread": "../x"})
    out = tmp_path / "out"
    ran = cli("batch", "assistant", str(source), str(out))
    assert ran.code == 1
    by_id = {row["id"]: row for row in rows(out)}
    assert by_id["1"]["answer"] == "Echo: fine"
    assert by_id["2"]["error"]["type"] == "InputError"


def test_the_cost_cap_stops_asking(cli, simulator: ProviderSimulator, tmp_path: Path) -> None:
    source = write(tmp_path / "in", *(f"question {n}" for n in range(10)))
    out = tmp_path / "out"
    ran = cli(
        *("batch", "assistant", str(source), str(out), "--json"),
        *("--max-cost", "0.000001", "--concurrency", "2"),
    )
    tally = json.loads(ran.out)
    assert ran.code == 1
    assert tally["answered"] + tally["left"] == 10
    assert tally["answered"] <= 2
    assert len(simulator.requests) == tally["answered"]


class Busy:
    """Stands in for an agent: counts who is being answered at once; one item breaks."""

    def __init__(self) -> None:
        self.now = self.most = 0

    async def aask(self, text: str, **_: object) -> Reply:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.01)
        self.now -= 1
        if text == "7":
            raise RuntimeError("the database said postgresql://user:password@host")
        return Reply(
            answer=text, agent="busy", thread_id="t", run_id=text, provider="openai", model="o3",
            cached=None, degraded=None, usage={}, cost_usd=Decimal(1), latency_ms=1.0,
        )  # fmt: skip


async def test_as_many_at_once_as_said_and_an_unforeseen_error_ends_one_item(
    tmp_path: Path,
) -> None:
    agent, out, told = Busy(), tmp_path / "out", []
    items = [BatchLine(id=str(n), text=str(n)) for n in range(20)]
    tally = await run_batch(
        agent, items, out, at_once=4, told=lambda tally: told.append(tally.answered + tally.failed)
    )
    assert agent.most == 4
    assert told == list(range(1, 21))
    assert (tally.answered, tally.failed, tally.cost_usd) == (19, 1, Decimal(19))
    broken = next(row for row in rows(out) if row["id"] == "7")
    assert broken["error"] == {
        "type": "RuntimeError",
        "message": "Something unforeseen went wrong.",
    }
    again = await run_batch(agent, items, out, at_once=4, max_cost_usd=Decimal(0))
    assert (again.skipped, again.left, agent.most) == (19, 1, 4)


async def test_where_the_output_cant_be_written_nobody_is_asked_any_more(tmp_path: Path) -> None:
    def full(tally: Tally) -> None:
        if tally.answered == 1:
            raise OSError(28, "No space left on device")

    items = [BatchLine(id=str(n), text=str(n)) for n in range(20)]
    with pytest.raises(OSError, match="No space left"):
        await run_batch(Busy(), items, tmp_path / "out", at_once=4, told=full)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_people_see_how_far_it_is(cli, simulator: ProviderSimulator, tmp_path: Path) -> None:
    source = write(tmp_path / "in", "one", "two", {"text": "bad", "thread": "../x"})
    words = ("batch", "assistant", str(source), str(tmp_path / "out"))
    seen = cli(*words, TTY_COMPATIBLE="1", TERM="xterm")
    assert "3/3" in seen.err
    assert "1 failed, 0.0" in seen.err
    assert seen.out.startswith("2 answered, 0 had an answer, 1 failed, 0 left at the cost cap;")
    assert cli(*words, TTY_COMPATIBLE="0").err == ""


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"txt": "hi"}\n', "line 1: text"),
        (b'"ok"\n{broken\n', "line 2: not JSON"),
        (b'{"id":"a","text":"x"}\n{"id":"a","text":"y"}\n', "stands twice"),
        (b'{"text": ""}\n', "line 1: text"),
        (b"\xff\xfe\n", "isn't valid UTF-8"),
    ],
)
def test_a_bad_file_is_refused_before_anything_is_asked(
    cli, simulator: ProviderSimulator, tmp_path: Path, content: bytes, told: str
) -> None:
    source = tmp_path / "in"
    source.write_bytes(content)
    ran = cli("batch", "assistant", str(source), str(tmp_path / "out"))
    assert (ran.code, told in ran.err) == (2, True), ran.err
    assert simulator.requests == []


def test_bad_options(cli, tmp_path: Path) -> None:
    missing = cli("batch", "assistant", str(tmp_path / "nope"), str(tmp_path / "out"))
    assert (missing.code, "can't be read" in missing.err) == (2, True)
    source = write(tmp_path / "in", "one")
    cost = cli("batch", "assistant", str(source), str(tmp_path / "out"), "--max-cost", "-1")
    assert (cost.code, "no amount" in cost.err) == (2, True)


def test_agents_are_listed(cli) -> None:
    listed = json.loads(cli("agents", "--json").out)["agents"]
    assert [agent["name"] for agent in listed] == list(registry.names())
    one = json.loads(cli("agents", "assistant", "--json").out)
    assert "respond" in one["nodes"]
    assert float(one["estimate"]["cost_usd"]) > 0
    assert "respond" in cli("agents", "assistant", "--mermaid").out


def test_items_of_one_thread_are_asked_in_their_order(
    cli, simulator: ProviderSimulator, tmp_path: Path
) -> None:
    rows = [{"text": f"Question {n}.", "thread": f"t{n % 2}"} for n in range(8)]
    source = write(tmp_path / "in", *rows)
    simulator.script([Said("Yes.", delay_s=0.3)] * 8)
    words = ("batch", "assistant", str(source), str(tmp_path / "out"), "--concurrency", "8")
    ran = cli(*words, ALLOTROPE_AGENTS__TURN_WAIT_S="0.2")
    assert ran.code == 0, ran.out
    for thread in ("t0", "t1"):
        asked = [
            message["content"]
            for message in max(
                (r.body["messages"] for r in simulator.requests if r.path.endswith("/completions")),
                key=lambda sent: len(sent) if rows[int(thread[1])]["text"] in str(sent) else 0,
            )
            if message["role"] == "user"
        ]
        assert asked == [row["text"] for row in rows if row["thread"] == thread]
