"""The answer cache against LangChain's own: requests saved, latency, right and wrong hits, growth.

python benchmarks/cache.py --quick
python benchmarks/cache.py --data pairs.jsonl --vectors vectors.npz --json out.json
"""

import asyncio
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _form import arguments, shared_data, show, spread, write_json
from langchain_core.caches import BaseCache, InMemoryCache
from langchain_core.embeddings import Embeddings
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration

from allotrope.models.cache import AnswerCache, RedisCache, open_answers, open_semantic
from allotrope.models.cache.answers import CacheCall
from allotrope.models.cache.policy import Request
from allotrope.models.cache.semantic.fitting.calibrate import (
    Pair,
    held_out,
    precision_at,
    thresholds,
    validated,
)
from allotrope.models.cache.semantic.fitting.reading import read_pairs as read_labelled
from allotrope.models.cache.semantic.gate import SafetyGate
from allotrope.models.cache.semantic.index.mirror import Mirror, unit
from allotrope.models.cache.semantic.score import TreeScorer, load_scorer
from allotrope.models.providers.openai import OpenAIChat, build_openai
from allotrope.settings import load_settings
from allotrope.settings.sections import OpenAISettings
from allotrope.stores.redis.server import EmbeddedServer
from allotrope.testing import ProviderSimulator

RECALLS = (0.2, 0.4, 0.6)
PLAIN = 0.9
"""The cosine that a cache without a gate asks for."""

OWN = Path(__file__).parent / "datasets" / "cache_training.jsonl"
"""Pairs of a support desk and of everyday life that the shipped gate is fitted on, too."""

GOALS = {0.2: 0.92, 0.4: 0.87, 0.6: 0.82}


@contextmanager
def answer_cache(folder: Path, **cache: Any) -> Iterator[AnswerCache]:
    """A cache over a Redis of its own on a unix socket."""
    server = EmbeddedServer(folder)
    server.ensure()
    settings = load_settings(
        environ={},
        env_file=None,
        data_dir=folder,
        redis={"url": server.url},
        cache={"timeout_s": 5.0, "max_bytes": 2**40, "max_entries": 10**7, **cache},
    )
    answers = open_answers(settings)
    try:
        yield answers
    finally:
        answers.close()
        server.leave()


def chat(simulator: ProviderSimulator, cache: BaseCache) -> OpenAIChat:
    """The chain's OpenAI model on the simulator."""
    settings = OpenAISettings(api_key="sk-bench", base_url=simulator.openai_url, model="gpt-4o")
    model = build_openai(settings)
    if isinstance(cache, RedisCache):
        model.asker, model.cache = cache.asker, False
    else:
        model.asker, model.cache = None, cache
    return model


def repeats(answers: AnswerCache) -> list[list[object]]:
    """(a) A 5-turn conversation and a stream, three times; requests made each time."""
    import redis
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import START, MessagesState, StateGraph

    rows: list[list[object]] = []
    caches: list[tuple[str, Callable[[], BaseCache]]] = [
        ("allotrope", lambda: RedisCache(answers)),
        ("langchain InMemoryCache", InMemoryCache),
    ]
    try:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from langchain_community.cache import RedisCache as CommunityCache
        client = redis.Redis.from_url(_url(answers), db=1)
        caches.append(("langchain_community RedisCache", lambda: CommunityCache(client)))
    except ImportError:
        pass
    for name, make in caches:
        with ProviderSimulator() as simulator:
            model = chat(simulator, make())

            def answer(state: MessagesState, model: Any = model) -> dict[str, Any]:
                return {"messages": [model.invoke(state["messages"])]}

            graph = StateGraph(MessagesState)
            graph.add_node("answer", answer)
            graph.add_edge(START, "answer")
            ready = graph.compile(checkpointer=InMemorySaver())
            counts = []
            for thread in range(3):
                before = len(simulator.chats())
                for turn in range(5):
                    ready.invoke(
                        {"messages": [HumanMessage(f"turn {turn}")]},
                        {"configurable": {"thread_id": str(thread)}},
                    )
                counts.append(len(simulator.chats()) - before)
            streams = []
            for _ in range(3):
                before = len(simulator.chats())
                for _chunk in model.stream("tell me a story"):
                    pass
                streams.append(len(simulator.chats()) - before)
            rows.append([name, *counts, *streams])
    return rows


def _url(answers: AnswerCache) -> str:
    kwargs = answers.client.connection_pool.connection_kwargs
    return f"unix://{kwargs['path']}"


def _call(answers: AnswerCache, number: int) -> CacheCall:
    request = Request(tenant="bench")
    return CacheCall(
        part=answers.partition(request),
        digest=f"{number:032x}",
        request=request,
        ttl_s=3600,
        model="gpt-4o",
    )


def _fill(answers: AnswerCache, start: int, end: int) -> None:
    message = AIMessage(
        "An answer of a few sentences, as they come. " * 8,
        usage_metadata={"input_tokens": 90, "output_tokens": 80, "total_tokens": 170},
        response_metadata={"model_name": "gpt-4o", "finish_reason": "stop"},
    )
    entry = answers.entry_of(_call(answers, 0), [ChatGeneration(message=message)])
    assert entry is not None
    value = answers.codec.dump(entry)
    from allotrope.models.cache.storage import commands as store

    part = _call(answers, 0).part
    for chunk in range(start, end, 1000):
        pipe = answers.client.pipeline(transaction=False)
        for number in range(chunk, min(end, chunk + 1000)):
            steps = store.put(
                part, f"{number:032x}", value, ttl_s=3600, now=answers.clock(),
                max_entries=10**7, max_bytes=2**40,
            )  # fmt: skip
            for command in next(steps):
                pipe.execute_command(*command)
        pipe.execute()


def timed(work: Callable[[], object], times: int) -> dict[str, float]:
    """Milliseconds of a piece of work."""
    samples = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        samples.append((time.perf_counter() - started) * 1000)
    return spread(samples)


async def throughput(model: OpenAIChat, requests: int) -> float:
    """Hits a second with 100 askers at once; every asker asks its own question again and again."""
    questions = [f"question {number}" for number in range(100)]
    await asyncio.gather(*(model.ainvoke(question) for question in questions))

    async def asker(question: str) -> None:
        for _ in range(requests // 100):
            await model.ainvoke(question)

    started = time.perf_counter()
    await asyncio.gather(*(asker(question) for question in questions))
    return requests / (time.perf_counter() - started)


async def crowd(answers: AnswerCache, size: int) -> int:
    """Requests made by so many simultaneous askers of one question."""
    with ProviderSimulator(latency_s=0.05) as simulator:
        model = chat(simulator, RedisCache(answers))
        await asyncio.gather(*(model.ainvoke("all the same") for _ in range(size)))
        return len(simulator.chats())


class Given(Embeddings):
    """Vectors from a table."""

    def __init__(self, table: dict[str, Any]) -> None:
        self._table = table

    def embed_query(self, text: str) -> list[float]:
        """The given vector."""
        return self._table[text]  # type: ignore[no-any-return]  # an array is a sequence

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """The given vectors."""
        return [self.embed_query(text) for text in texts]


def semantic_latency(
    answers: AnswerCache, pairs: list[Pair], vectors_of: dict[str, Any], size: int
) -> dict[str, float]:
    """Milliseconds of a semantic hit with so many entries in the space, vectors given.

    The first questions of the pairs are kept, the second ones of those that are the same are asked.
    """
    kept = list(dict.fromkeys(pair.a for pair in pairs))[:size]
    probes = [pair.b for pair in pairs[:size] if pair.same and pair.cosine > 0.9][:400]
    table = {text: unit(vectors_of[text]) for text in [*kept, *probes]}
    settings = load_settings(environ={}, env_file=None)
    tier = open_semantic(settings, answers, embeddings=Given(table))
    assert tier is not None
    rng = np.random.default_rng(3)
    texts = kept
    vectors: list[Any] = [table[text] for text in texts]
    request = Request(tenant="bench", agent="semantic")
    part = answers.partition(request)

    def call(text: str, number: int) -> CacheCall:
        return CacheCall(
            part=part, digest=f"{number:032x}", request=request, ttl_s=3600, model="gpt-4o",
            question=text, space="bench",
        )  # fmt: skip

    message = ChatGeneration(message=AIMessage("An answer. " * 20))
    for number in range(size):
        text = texts[number] if number < len(texts) else f"{texts[number % len(texts)]} {number}"
        if text not in table:
            noise = unit(vectors[number % len(texts)] + 0.05 * rng.normal(size=len(vectors[0])))
            table[text] = noise
        asked = call(text, number)
        entry = answers.entry_of(asked, [message])
        assert entry is not None
        answers.put(asked, entry)
        tier.add(asked, entry)
    tier.find(call(probes[0], size + 1))
    hits, samples = 0, []
    for text in probes:
        asked = call(text, size + 1)
        started = time.perf_counter()
        hit = tier.find(asked)
        took = (time.perf_counter() - started) * 1000
        if hit is not None:
            hits += 1
            samples.append(took)
    return {**spread(samples), "hits": float(hits), "asked": float(len(probes))}


def read_pairs(data: Path, vectors: Path) -> tuple[list[Pair], dict[str, Any]]:
    """Labelled pairs with the cosine of their vectors, and the vectors by text."""
    with np.load(vectors, allow_pickle=False) as file:
        table = {
            str(text): vector
            for text, vector in zip(file["texts"], file["vectors"].astype(np.float32), strict=True)
        }
    pairs = []
    for line in data.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        a, b = unit(table[row["a"]]), unit(table[row["b"]])
        assert a is not None
        assert b is not None
        pairs.append(Pair(row["a"], row["b"], float(a @ b), bool(row["same"])))
    return pairs, table


def shipped_scores(pairs: list[Pair]) -> Any:
    """The shipped gate's scores; -1 where a hard rule refuses."""
    return validated(pairs, [(np.arange(len(pairs)), load_scorer())])


def stream_of_questions(
    pairs: list[Pair], vectors: dict[str, Any], folds: list[tuple[Any, TreeScorer]], scores: Any
) -> list[list[object]]:
    """Insert and ask a stream of questions; a hit is false when people judged the pair to differ.

    For each pair `a` is inserted and `b` is asked; who judges it is the scorer of the fold that
    never saw it. A hit on another question than the partner has no label: it is counted apart.
    """
    labels = np.array([float(pair.same) for pair in pairs])
    rows: list[list[object]] = []
    for name, reached in {"cosine ≥ 0.90": None, **thresholds(scores, labels)}.items():
        gate_of: dict[int, SafetyGate] = {}
        for inside, scorer in folds if reached is not None else ():
            gate = SafetyGate(replace(scorer, thresholds={"strict": reached}))
            gate_of |= dict.fromkeys(inside.tolist(), gate)
        mirror = Mirror(limit=len(pairs) + 1)
        right = false = other = 0
        for number, pair in enumerate(pairs):
            mirror.add(str(number), pair.a, unit(vectors[pair.a]))  # type: ignore[arg-type]  # never zero
            for candidate in mirror.search(unit(vectors[pair.b]), 5):  # type: ignore[arg-type]  # as above
                if candidate.question == pair.b or not (
                    candidate.cosine >= PLAIN
                    if reached is None
                    else gate_of[number].admits(pair.b, candidate.question, candidate.cosine)
                ):
                    continue
                if candidate.question != pair.a:
                    other += 1
                elif pair.same:
                    right += 1
                else:
                    false += 1
                break
        name = name if reached is None else f"gate, {name}"
        rows.append([name, len(pairs), right, false, other, false / max(1, right + false)])
    return rows


def growth(answers: AnswerCache, sizes: list[int]) -> list[list[object]]:
    """(d) Latency of hits and misses as the cache grows."""
    rows: list[list[object]] = []
    filled = 0
    rng = random.Random(5)
    for size in sizes:
        _fill(answers, filled, size)
        filled = size
        hit = timed(lambda size=size: answers.get(_call(answers, rng.randrange(size))), 500)
        miss = timed(lambda: answers.get(_call(answers, 10**9 + rng.randrange(10**6))), 500)
        rows.append([size, hit["p50"], hit["p99"], miss["p50"], miss["p99"]])
    return rows


def main() -> None:
    """Runs all parts."""
    parser = arguments(__doc__.splitlines()[0], data=shared_data("qqp_dev.jsonl"))
    parser.add_argument(
        "--vectors", type=Path, default=shared_data("qqp_dev_minilm.npz"), metavar="FILE"
    )
    options = parser.parse_args()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="alt-") as folder:
        with answer_cache(Path(folder) / "a") as answers:
            columns = ["requests of", "turns 1st", "2nd", "3rd", "stream 1st", "2nd", "3rd"]
            results["repeats"] = repeats(answers)
            show("(a) A 5-turn conversation and a stream, three times", columns, results["repeats"])

            _fill(answers, 0, 1000)
            times = 300 if options.quick else 3000
            key_only = timed(lambda: answers.get(_call(answers, 7)), times)
            with ProviderSimulator() as simulator:
                model = chat(simulator, RedisCache(answers))
                model.invoke("How high is it?")
                whole = timed(lambda: model.invoke("How high is it?"), times)
                rate = asyncio.run(throughput(model, 500 if options.quick else 5000))
            many = asyncio.run(crowd(answers, 1000))
            rows: list[list[object]] = [
                ["exact hit, cache alone, ms", key_only["p50"], key_only["p99"]],
                ["exact hit, whole invoke, ms", whole["p50"], whole["p99"]],
                ["hits a second, 100 at once", rate, ""],
                ["requests of 1,000 identical questions at once", many, ""],
            ]
            if options.data.is_file() and options.vectors.is_file():
                pairs, table = read_pairs(options.data, options.vectors)
                size = 2000 if options.quick else 10_000
                near = semantic_latency(answers, pairs, table, size)
                rows.append([f"semantic hit at {size:,} entries, ms", near["p50"], near["p99"]])
            results["latency"] = rows
            show("(b) Latency over the embedded Redis's socket", ["", "p50", "p99"], rows)

        if options.data.is_file() and options.vectors.is_file():
            pairs, table = read_pairs(options.data, options.vectors)
            if options.quick:
                pairs = pairs[:1500]
            labels = np.array([float(pair.same) for pair in pairs])
            cosines = np.array([pair.cosine for pair in pairs])
            folds = list(held_out(pairs, also=read_labelled([OWN], None)))
            fitted, shipped = validated(pairs, folds), shipped_scores(pairs)
            rows = []
            for recall in RECALLS:
                rows.append(
                    [recall]
                    + [precision_at(s, labels, recall)[0] for s in (cosines, fitted, shipped)]
                    + [GOALS[recall]]
                )
            results["precision"] = rows
            show(
                f"(c) Precision on {len(pairs):,} labelled pairs (the shipped gate was fitted on "
                "qqp_dev, so there only the cross-validated column counts)",
                ["at recall", "cosine alone", "gate, cross-validated", "gate, shipped", "goal"],
                rows,
            )
            results["stream"] = stream_of_questions(pairs, table, folds, fitted)
            show(
                f"(c) A stream of {2 * len(pairs):,} questions, half of them inserted, half asked; "
                "each judged by a gate that never saw it",
                ["judge", "asked", "right hits", "false hits", "unlabelled", "false share"],
                results["stream"],
            )
        else:
            print("(c) is left out: give --data and --vectors.")

        with answer_cache(Path(folder) / "d") as answers:
            sizes = [1000, 10_000] if options.quick else [1000, 10_000, 100_000, 1_000_000]
            results["growth"] = growth(answers, sizes)
            show(
                "(d) Growth: milliseconds",
                ["entries", "hit p50", "hit p99", "miss p50", "miss p99"],
                results["growth"],
            )
    write_json(options.json, "cache", results)


if __name__ == "__main__":
    main()
