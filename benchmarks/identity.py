"""What finding out who calls adds to a request, in µs: the check alone, without network and agent.

The same GET goes through `web.access.Access` to an app that answers at once, with each kind of
credential in turn; `none` is that app alone. Keys are looked up in SQLite once a second, as a
server does it. A turn's limit by credential in Redis isn't in it: that is a round trip to Redis.
"""

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import jwt
from _form import arguments, show, spread, write_json
from cryptography.hazmat.primitives.asymmetric import rsa

from allotrope.identity.key_store import KeyStore
from allotrope.identity.keys import Key
from allotrope.settings import Settings, load_settings
from allotrope.web.access.access import Access
from allotrope.web.access.credentials import Credentials

TOKEN = "a-token-of-enough-characters"
WANTED_US = 100.0
"""What identity may add to a request at the median."""


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers at once."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def signed(folder: Path) -> tuple[str, dict[str, Any]]:
    """A token of an issuer, and the settings that know it."""
    import json

    key = rsa.generate_private_key(65537, 2048)
    public = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    file = folder / "jwks.json"
    file.write_text(json.dumps({"keys": [{**public, "kid": "one"}]}))
    claims = {"iss": "https://id.example", "aud": "a", "sub": "kim", "exp": time.time() + 3600}
    token = jwt.encode(claims, key, algorithm="RS256", headers={"kid": "one"})
    settings = {"issuer": "https://id.example", "audience": "a", "keys_file": str(file)}
    return token, settings


async def measured(handler: Any, headers: dict[str, str], rounds: int) -> list[float]:
    """µs of each request, after a first one that fills the caches."""
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    took = []
    for number in range(rounds + 1):
        scope = {
            "type": "http", "method": "GET", "path": "/v1/models", "query_string": b"",
            "headers": [(b"host", b"127.0.0.1"), *raw], "client": ("127.0.0.1", 1),
            "scheme": "http", "server": ("127.0.0.1", 8080),
        }  # fmt: skip
        since = time.perf_counter()
        await handler(scope, receive, send)
        if number:
            took.append((time.perf_counter() - since) * 1e6)
        if number % 200 == 0:
            await asyncio.sleep(0)
    assert set(statuses) == {200}, set(statuses)
    return took


async def compared(settings: Settings, texts: dict[str, dict[str, str]], rounds: int) -> Any:
    """The spread of each way, measured in turns."""
    credentials = Credentials(settings)
    access = Access(app, settings=settings, credentials=credentials, host="127.0.0.1")
    samples: dict[str, list[float]] = {"none": [], **{name: [] for name in texts}}
    for _ in range(5):
        samples["none"] += await measured(app, {}, rounds // 5)
        for name, headers in texts.items():
            samples[name] += await measured(access, headers, rounds // 5)
    credentials.close()
    return {name: spread(took) for name, took in samples.items()}


def main() -> None:
    """Measures and prints."""
    options = arguments(__doc__ or "").parse_args()
    rounds = 2_000 if options.quick else 50_000
    with tempfile.TemporaryDirectory() as folder:
        token, section = signed(Path(folder))
        settings = load_settings(
            environ={}, env_file=None, data_dir=Path(folder),
            serve={"token": TOKEN, "jwt": section}, redis={"embedded": False},
        )  # fmt: skip
        with KeyStore(settings) as store:
            _, key = store.create(Key(id="", digest="", tenant="acme", user="kim"))
        session = Credentials(settings).session(TOKEN)
        texts = {
            "the server's token": {"authorization": f"Bearer {TOKEN}"},
            "a browser's session": {"cookie": f"allotrope_session={session}"},
            "a key": {"authorization": f"Bearer {key}"},
            "a signed token": {"authorization": f"Bearer {token}"},
        }
        found = asyncio.run(compared(settings, texts, rounds))
    base = found["none"]["p50"]
    rows = [
        (name, one["p50"], one["p95"], one["p99"], one["p50"] - base) for name, one in found.items()
    ]
    show("Who calls: µs a request", ("credential", "p50", "p95", "p99", "adds (p50)"), rows)
    worst = max(one["p50"] - base for one in found.values())
    print(f"The dearest adds {worst:.0f} µs at the median; wanted: at most {WANTED_US:.0f}.")
    write_json(options.json, "identity", found)


if __name__ == "__main__":
    main()
