"""llama.cpp's cache of earlier prompts in the embedded model: what a bound costs and saves.

    python benchmarks/prompt_cache.py --quick

The same prompts are asked with no cache, with our bound and with llama.cpp's own 8,192 MB, each in
a process of its own. What is measured is the processor's time that the process takes, so that a
busy machine changes little.
"""

import multiprocessing
import random
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import httpx
from _form import arguments, show, write_json

from allotrope.models.providers.embedded import LlamaServer, start_server
from allotrope.settings import load_settings

ANSWER = 2
"""Tokens of an answer: what is measured is the reading of the prompt."""

WORDS = ("time", "year", "people", "way", "day", "man", "thing", "life", "child", "world")


def text(chance: random.Random, words: int) -> str:
    """Some words, never the same."""
    return " ".join(f"{chance.choice(WORDS)}{chance.randrange(1000)}" for _ in range(words))


def growing(prompts: int, words: int) -> Iterator[list[dict[str, str]]]:
    """One conversation that goes on; each prompt begins with the whole of the last one."""
    chance, said = random.Random(1), list[dict[str, str]]()
    for _ in range(prompts):
        said = [*said, {"role": "user", "content": text(chance, words // 4)}]
        yield said
        said = [*said, {"role": "assistant", "content": "Yes."}]


def alternating(prompts: int, words: int) -> Iterator[list[dict[str, str]]]:
    """Four conversations in turn; each goes on with a question more."""
    chance = random.Random(2)
    four = [[{"role": "user", "content": text(chance, words)}] for _ in range(4)]
    for number in range(prompts):
        said = four[number % 4]
        yield list(said)
        said += [{"role": "assistant", "content": "Yes."}, {"role": "user", "content": "And?"}]


def different(prompts: int, words: int) -> Iterator[list[dict[str, str]]]:
    """Prompts that have nothing in common: keeping them is in vain."""
    chance = random.Random(3)
    for _ in range(prompts):
        yield [{"role": "user", "content": text(chance, words)}]


KINDS = {"one growing": growing, "four in turn": alternating, "all different": different}


def serve(pipe: Connection, cache_mb: int) -> None:
    """A process with the embedded model: answers prompts with seconds and its memory."""
    settings = load_settings(
        environ={}, env_file=None, embedded={"prompt_cache_mb": cache_mb, "num_ctx": 8192}
    )
    server = start_server(settings.embedded)
    body: dict[str, Any] = {"max_tokens": ANSWER, "temperature": 0.0}
    _post(server, {**body, "messages": [{"role": "user", "content": "Hi"}]})
    while (messages := pipe.recv()) is not None:
        begin = time.process_time()
        _post(server, {**body, "messages": messages})
        pipe.send((time.process_time() - begin, _resident_mb()))


def _post(server: LlamaServer, body: dict[str, Any]) -> None:
    """A request that may take long: `LlamaServer.post` waits for half a minute."""
    headers = {"Authorization": f"Bearer {server.key}"}
    url = f"{server.url}/v1/chat/completions"
    httpx.post(url, json=body, headers=headers, timeout=None).raise_for_status()


def _resident_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def measured(kind: str, sizes: list[int], prompts: int, words: int) -> dict[int, dict[str, Any]]:
    """One kind of prompts, with each size of the cache."""
    context = multiprocessing.get_context("spawn")
    found: dict[int, dict[str, Any]] = {size: {"seconds": [], "mb": []} for size in sizes}
    pipes, processes = {}, []
    for size in sizes:
        pipes[size], theirs = context.Pipe()
        processes.append(context.Process(target=serve, args=(theirs, size), daemon=True))
        processes[-1].start()
    for messages in KINDS[kind](prompts, words):
        for size in sizes:
            pipes[size].send(messages)
            seconds, megabytes = pipes[size].recv()
            found[size]["seconds"].append(seconds)
            found[size]["mb"].append(megabytes)
    for pipe in pipes.values():
        pipe.send(None)
    for process in processes:
        process.join(30)
    return found


def main() -> None:
    """Prints the table."""
    parser = arguments("The bound of the embedded model's prompt cache.")
    parser.add_argument("--kinds", nargs="*", choices=list(KINDS), metavar="KIND")
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("--words", type=int, default=250, help="of a prompt; some four tokens each")
    parser.add_argument("--sizes", type=int, nargs="*", metavar="MB", help="bounds besides ours")
    options = parser.parse_args()
    ours = load_settings(environ={}, env_file=None).embedded.prompt_cache_mb
    others = options.sizes or ([0] if options.quick else [0, 8192])
    sizes = sorted({ours, *others})
    prompts, words = (4, 16) if options.quick else (options.prompts, options.words)
    kinds = options.kinds or (["four in turn"] if options.quick else list(KINDS))
    rows, results = [], {}
    for kind in kinds:
        found = measured(kind, sizes, prompts, words)
        results[kind] = {str(size): one for size, one in found.items()}
        for size, one in found.items():
            total = sum(one["seconds"])
            ratio = total / sum(found[ours]["seconds"])
            rows.append((kind, size, total, ratio, round(one["mb"][0]), round(one["mb"][-1])))
    columns = ("prompts", "cache MB", "CPU seconds", "ratio, all", "MB first", "MB last")
    show(f"{prompts} prompts; ratio: seconds to those with {ours} MB", columns, rows)
    write_json(options.json, "prompt_cache", results)


if __name__ == "__main__":
    main()
