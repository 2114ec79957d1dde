"""How an answer is written into a store: JSON, versioned, compressed, perhaps encrypted.

Nothing is unpickled and no class is named by the data: messages are rebuilt by LangChain's
`messages_from_dict`, which knows message types only.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, message_to_dict, messages_from_dict
from langchain_core.outputs import ChatGeneration, Generation
from pydantic import BaseModel

VERSION = b"A1"
_ZSTD, _FERNET = 1, 2
MAX_VALUE_BYTES = 16 * 2**20


class UnreadableEntryError(ValueError):
    """What lies under our key is none of our values, or was written with another key."""


@dataclass(frozen=True, kw_only=True)
class StoredAnswer:
    """A stored answer.

    Args:
        generations: What the model gave.
        saved: Tokens of the call that a hit saves.
        model: The model that answered.
        created: Unix time in seconds.
        seconds: How long the call took.
        question: The question in the semantic tier, else empty.
        run_id: The run that paid for it.
        tags: What it can be invalidated by.
    """

    generations: tuple[Generation, ...]
    saved: dict[str, int] = field(default_factory=dict)
    model: str = ""
    created: float = field(default_factory=time.time)
    seconds: float = 0.0
    question: str = ""
    run_id: str = ""
    tags: tuple[str, ...] = ()


class Codec:
    """Turns entries into bytes and back.

    Args:
        compress_over: Payloads of more bytes are compressed with zstd.
        key: A Fernet key (urlsafe base64 of 32 bytes); None doesn't encrypt.
    """

    def __init__(self, *, compress_over: int = 1024, key: str | None = None) -> None:
        self._compress_over = compress_over
        self._fernet: Any = None
        if key is not None:
            from cryptography.fernet import Fernet

            from allotrope.exceptions import SettingsError

            try:
                self._fernet = Fernet(key)
            except (ValueError, TypeError) as exc:
                raise SettingsError(
                    "ALLOTROPE_CACHE__ENCRYPTION_KEY is no Fernet key.",
                    hint="Make one with `python -c 'from cryptography.fernet import Fernet; "
                    "print(Fernet.generate_key().decode())'`.",
                ) from exc

    def dump(self, entry: StoredAnswer) -> bytes:
        """An entry as bytes.

        Raises:
            TypeError: The answer holds something JSON can't say.
        """
        return self.seal(
            json.dumps(
                {
                    "g": [_generation_out(generation) for generation in entry.generations],
                    "s": entry.saved,
                    "m": entry.model,
                    "at": round(entry.created, 3),
                    "took": round(entry.seconds, 3),
                    "q": entry.question,
                    "run": entry.run_id,
                    "t": entry.tags,
                },
                default=_more,
                separators=(",", ":"),
            ).encode("utf-8", "surrogatepass")
        )

    def load(self, data: bytes) -> StoredAnswer:
        """The entry in the bytes.

        Raises:
            UnreadableEntryError: They hold none.
        """
        try:
            body = json.loads(self.unseal(data).decode("utf-8", "surrogatepass"))
            generations = tuple(_generation_in(item) for item in body["g"])
            if not generations:
                raise UnreadableEntryError("no generations")
            return StoredAnswer(
                generations=generations,
                saved={str(k): int(v) for k, v in body["s"].items()},
                model=str(body["m"]),
                created=float(body["at"]),
                seconds=float(body["took"]),
                question=str(body["q"]),
                run_id=str(body["run"]),
                tags=tuple(str(tag) for tag in body["t"]),
            )
        except UnreadableEntryError:
            raise
        except Exception as exc:
            raise UnreadableEntryError(f"{type(exc).__name__}") from exc

    def seal(self, data: bytes) -> bytes:
        """Bytes with version, compressed and encrypted as set."""
        flags = 0
        if len(data) > self._compress_over:
            import zstandard

            data, flags = zstandard.ZstdCompressor(level=3).compress(data), flags | _ZSTD
        if self._fernet is not None:
            data, flags = self._fernet.encrypt(data), flags | _FERNET
        return VERSION + bytes([flags]) + data

    def unseal(self, data: bytes) -> bytes:
        """The bytes that were sealed.

        Raises:
            UnreadableEntryError: They were not, or with another key.
        """
        if not isinstance(data, bytes) or len(data) < 3 or data[:2] != VERSION:
            raise UnreadableEntryError("not one of our values")
        flags, data = data[2], data[3:]
        if flags & ~(_ZSTD | _FERNET) or bool(flags & _FERNET) != (self._fernet is not None):
            raise UnreadableEntryError("encrypted otherwise than set")
        try:
            if flags & _FERNET:
                data = self._fernet.decrypt(data)
            if flags & _ZSTD:
                data = _unpacked(data)
        except Exception as exc:
            raise UnreadableEntryError(f"{type(exc).__name__}") from exc
        return data


def _unpacked(data: bytes) -> bytes:
    """What a zstd frame holds, if it is no more than a value may be.

    `max_output_size` alone bounds only frames that don't say their size: for the others the
    library allocates what the frame says.
    """
    import zstandard

    told = zstandard.get_frame_parameters(data)
    known = told.content_size not in (zstandard.CONTENTSIZE_UNKNOWN, zstandard.CONTENTSIZE_ERROR)
    if known and told.content_size > MAX_VALUE_BYTES:
        raise UnreadableEntryError("larger than a value may be")
    reader = zstandard.ZstdDecompressor(max_window_size=MAX_VALUE_BYTES).stream_reader(data)
    unpacked = reader.read(MAX_VALUE_BYTES + 1)
    if len(unpacked) > MAX_VALUE_BYTES or (known and len(unpacked) != told.content_size):
        raise UnreadableEntryError("larger than a value may be, or cut off")
    return bytes(unpacked)


def _generation_out(generation: Generation) -> dict[str, Any]:
    if isinstance(generation, ChatGeneration):
        message = generation.message
        if not isinstance(message, AIMessage):
            raise TypeError(f"{type(message).__name__} is no model's answer")
        data = message_to_dict(message)
        data["data"].pop("id", None)
        return {"c": data, "i": generation.generation_info}
    return {"x": generation.text, "i": generation.generation_info}


def _generation_in(item: Any) -> Generation:
    info = item["i"]
    if info is not None and not isinstance(info, dict):
        raise UnreadableEntryError("generation_info")
    if "c" not in item:
        if not isinstance(item["x"], str):
            raise UnreadableEntryError("text")
        return Generation(text=item["x"], generation_info=info)
    (message,) = messages_from_dict([item["c"]])
    if not isinstance(message, AIMessage):
        raise UnreadableEntryError("no answer of a model")
    return ChatGeneration(message=message, generation_info=info)


def _more(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__qualname__} can't be stored")


def saved_tokens(generations: Sequence[Generation]) -> dict[str, int]:
    """The tokens a hit on these generations saves, in the terms of docs/contracts.md."""
    saved = {
        "input_tokens": 0,
        "output_tokens": 0,
        "cached_input_tokens": 0,
        "reasoning_tokens": 0,
    }
    for generation in generations:
        message = getattr(generation, "message", None)
        usage = getattr(message, "usage_metadata", None)
        if not usage:
            continue
        saved["input_tokens"] += int(usage.get("input_tokens") or 0)
        saved["output_tokens"] += int(usage.get("output_tokens") or 0)
        inputs, outputs = usage.get("input_token_details"), usage.get("output_token_details")
        saved["cached_input_tokens"] += int((inputs or {}).get("cache_read") or 0)
        saved["reasoning_tokens"] += int((outputs or {}).get("reasoning") or 0)
    return saved
