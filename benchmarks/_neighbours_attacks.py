"""The worst inputs that one user can send, of every kind: texts, bodies, files, slow others."""

import asyncio
import contextlib
import io
import json
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx

Attack = Callable[[httpx.AsyncClient], Awaitable[object]]
"""Sends one request and waits for what becomes of it."""

MEGABYTE = 1_000_000
SLOW_AT_ONCE = 8
"""Pages that trickle at the same time, and lists of threads asked for at once."""
WORDS = "What should I pack for ten days in Oslo when it rains and I mean to climb? "


def attacks(folder: Path, slow_url: str) -> dict[str, Attack]:
    """Each attack by its name.

    Args:
        folder: Where files for the agents may lie; the costly ones are made there.
        slow_url: A page that never ends.
    """
    file = _files(folder)
    return {
        "40 KB of dots to the analyst": asked("analyst", "." * 40_000),
        "1 MB of dots to the analyst": asked("analyst", "." * MEGABYTE),
        "1 MB of quotes to the analyst": asked("analyst", '"a.csv' * (MEGABYTE // 6)),
        "a message of 300 KB": asked("assistant", WORDS * (300_000 // len(WORDS))),
        "a message of 1 MB, too long": asked("assistant", WORDS * (MEGABYTE // len(WORDS))),
        "1 MB of <think> to the coder": asked("coder", "<think>" * (MEGABYTE // 7)),
        "1 MB of addresses to the researcher": asked("researcher", "http://x " * (MEGABYTE // 9)),
        "1 MB of numbers to the creative": asked("creative", "1 word, " * (MEGABYTE // 8)),
        "1.7 MB of blanks": asked("assistant", " " * (17 * MEGABYTE // 10) + "x"),
        "5 MB of blanks, too long": asked("assistant", " " * (5 * MEGABYTE) + "x"),
        "6,000 > to the chat page": page(">" * 6_000),
        "a history of 10,000 messages": history(10_000),
        "1 MB of deep JSON": body(b"[" * (MEGABYTE // 2) + b"]" * (MEGABYTE // 2)),
        "20 MB of small JSON lists": body(b"[" + b"[]," * 6_600_000 + b"[]]"),
        "a body that trickles": trickled(b"POST /v1/chat/completions", b"Content-Length: 9999\r\n"),
        "headers that trickle": trickled(b"GET /v1/models", None),
        "60 KB of HTML": asked("researcher", f"Sum up '{file['page.html']}'."),
        "a DOCX of 495 KB": asked("researcher", f"Sum up '{file['bomb.docx']}'."),
        "a Parquet file of 11 GB": asked("analyst", f"How many rows has '{file['bomb.parquet']}'?"),
        "a CSV of 5,000 columns": asked("analyst", f"How many rows has '{file['wide.csv']}'?"),
        "a text file of 5 MB": asked("researcher", f"Sum up '{file['long.txt']}'."),
        "8 slow pages at once": at_once(asked("researcher", f"Sum up {slow_url}")),
        "8 lists of threads at once": at_once(got("/api/threads")),
    }


def asked(agent: str, text: str) -> Attack:
    """A question to an agent."""
    return body(
        json.dumps({"model": agent, "messages": [{"role": "user", "content": text}]}).encode()
    )


def history(messages: int) -> Attack:
    """A conversation of many messages."""
    said = [
        {"role": ("user", "assistant")[number % 2], "content": f"{number}: {WORDS}"}
        for number in range(messages - 1)
    ]
    asks = {"model": "assistant", "messages": [*said, {"role": "user", "content": "And now?"}]}
    return body(json.dumps(asks).encode())


def body(data: bytes) -> Attack:
    """A body for the API."""

    async def send(client: httpx.AsyncClient) -> object:
        kind = {"Content-Type": "application/json"}
        return await client.post("/v1/chat/completions", content=data, headers=kind)

    return send


def page(text: str) -> Attack:
    """A message of the chat page."""

    async def send(client: httpx.AsyncClient) -> object:
        return await client.post("/api/turns", json={"agent": "assistant", "text": text})

    return send


def got(path: str) -> Attack:
    """A page."""

    async def send(client: httpx.AsyncClient) -> object:
        return await client.get(path)

    return send


def at_once(attack: Attack) -> Attack:
    """The same several times at the same moment."""

    async def send(client: httpx.AsyncClient) -> object:
        return await asyncio.gather(*(attack(client) for _ in range(SLOW_AT_ONCE)))

    return send


def trickled(start: bytes, head: bytes | None) -> Attack:
    """A request whose body (or head, without `head`) comes a byte at a time."""

    async def send(client: httpx.AsyncClient) -> object:
        host = client.base_url.host
        reader, writer = await asyncio.open_connection(host, client.base_url.port)
        writer.write(start + b" HTTP/1.1\r\nHost: " + host.encode() + b"\r\n")
        writer.write(b"X-Slow: " if head is None else head + b"\r\n")
        with contextlib.closing(writer):
            while not reader.at_eof():
                writer.write(b" ")
                await writer.drain()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await reader.read(4_096)
        return None

    return send


@contextlib.asynccontextmanager
async def slow_page() -> AsyncIterator[str]:
    """A page that says a word now and then and never ends; its address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
            while True:
                writer.write(b"word ")
                await writer.drain()
                await asyncio.sleep(0.1)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


def _files(folder: Path) -> dict[str, Path]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = {
        "page.html": b"<i>" * 10_000 + b"</b>x" * 6_000,
        "bomb.docx": _docx(b"<w:p/>" * 20_000_000),
        "wide.csv": "\n".join([",".join(f"c{n}" for n in range(5_000))] * 2).encode()
        + b"\n"
        + b"\n".join([b",".join([b"1"] * 5_000)] * 100),
        "long.txt": (WORDS * (5 * MEGABYTE // len(WORDS))).encode(),
    }
    for name, data in made.items():
        (folder / name).write_bytes(data)
    values = pa.DictionaryArray.from_arrays(
        pa.array([0] * 11_000, pa.int32()), pa.array(["x" * MEGABYTE])
    )
    pq.write_table(pa.table({"a": values}), folder / "bomb.parquet", store_schema=False)
    return {name: folder / name for name in (*made, "bomb.parquet")}


def _docx(paragraphs: bytes) -> bytes:
    space = b"http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as made:
        whole = b'<w:document xmlns:w="' + space + b'">' + paragraphs + b"</w:document>"
        made.writestr("word/document.xml", whole)
    return buffer.getvalue()
