"""Reasoning items of the Responses API: sealed for one model, and refused by every other."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from allotrope.testing.openai import refusals

_HEAD = "gAAAAAB"
_FOLLOWS = ("function_call", "custom_tool_call", "message", "reasoning")


class Seal:
    """Seals reasoning so that only the same provider, account and model can read it again."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def close(self, item: str, *, account: str, model: str) -> str:
        """The encrypted content of a reasoning item.

        Args:
            item: The item's id.
            account: Whose request it answers.
            model: The model that reasoned.
        """
        words = f"{account}/{model}/{item}".encode()
        mark = hmac.new(self._secret, words, hashlib.sha512).digest()
        return _HEAD + base64.urlsafe_b64encode(item.encode() + b"." + mark).decode()

    def fits(self, content: object, *, account: str, model: str) -> bool:
        """Whether this provider sealed the content for this account and model."""
        try:
            raw = base64.urlsafe_b64decode(str(content).removeprefix(_HEAD))
            item = raw.partition(b".")[0].decode()
        except ValueError:
            return False
        return hmac.compare_digest(self.close(item, account=account, model=model), str(content))


@dataclass(slots=True)
class Items:
    """What a provider keeps of its answers: nothing of those with `store` set to false."""

    seal: Seal = field(default_factory=Seal)
    kept: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    needs: dict[tuple[str, str], str] = field(default_factory=dict)

    def keep(self, account: str, output: Sequence[Mapping[str, Any]]) -> None:
        """Keeps the items of an answer, and which reasoning the rest of it needs."""
        reasoning: str | None = None
        for item in output:
            self.kept[account, item["id"]] = item
            if item["type"] == "reasoning":
                reasoning = item["id"]
            elif reasoning is not None:
                self.needs[account, item["id"]] = reasoning

    def read(
        self,
        given: Sequence[Mapping[str, Any]],
        *,
        account: str,
        model: str,
        store: bool,
        chained: bool = False,
    ) -> list[Mapping[str, Any]]:
        """The items of a request's input, references filled in.

        Args:
            given: The input as it came.
            account: Who asks.
            model: The model that is asked.
            store: The `store` of the request.
            chained: Whether a `previous_response_id` may bring the reasoning of an item.

        Raises:
            ErrorReply: An item is unknown, was sealed for another model, or stands alone.
        """
        items = [self._filled(item, account, store) for item in given]
        for index, item in enumerate(items):
            if item.get("type") == "reasoning":
                self._check_reasoning(item, account, model, store)
                following = items[index + 1] if index + 1 < len(items) else {}
                kind = following.get("type", "message" if "role" in following else None)
                if kind not in _FOLLOWS or following.get("role", "assistant") != "assistant":
                    raise refusals.item_alone(str(item.get("id")), "reasoning", "following item")
            needed = self.needs.get((account, str(item.get("id"))))
            if (
                needed is not None
                and not chained
                and all(other.get("id") != needed for other in items[:index])
            ):
                raise refusals.item_alone(
                    str(item["id"]), str(item["type"]), f"'reasoning' item: '{needed}'"
                )
        return items

    def _filled(self, item: Mapping[str, Any], account: str, store: bool) -> Mapping[str, Any]:
        if item.get("type") != "item_reference":
            return item
        found = self.kept.get((account, str(item.get("id"))))
        if found is None:
            raise refusals.item_not_found(str(item.get("id")), stored=store)
        return found

    def _check_reasoning(
        self, item: Mapping[str, Any], account: str, model: str, store: bool
    ) -> None:
        content = item.get("encrypted_content")
        if content and not self.seal.fits(content, account=account, model=model):
            raise refusals.sealed_for_another(item.get("id"), str(content))
        if not content and (account, str(item.get("id"))) not in self.kept:
            raise refusals.item_not_found(str(item.get("id")), stored=store)
