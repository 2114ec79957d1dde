"""People of several tenants who ask at random, each marking what they say as theirs."""

import random
import re
from dataclasses import dataclass, field
from typing import Any

import httpx

MARK = re.compile(r"S-(\w+-\w+)-\d+")
"""What somebody said: `S-tenant-user-number`."""


@dataclass
class Person:
    """Somebody with a key, or the operator of a tenant at the command line."""

    tenant: str
    user: str
    key: str = ""
    said: int = 0
    histories: list[list[dict[str, str]]] = field(default_factory=list)
    threads: list[str] = field(default_factory=list)

    @property
    def mark(self) -> str:
        return f"{self.tenant}-{self.user}"

    @property
    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    def secret(self) -> str:
        self.said += 1
        return f"My secret number {self.said} is S-{self.mark}-{self.said}."


def everybody() -> list[Person]:
    """Two tenants, two users each."""
    return [Person(tenant, user) for tenant in ("acme", "globex") for user in ("ann", "ben")]


class Crowd:
    """Looks into every answer for what somebody else said."""

    def __init__(self, client: httpx.AsyncClient, people: list[Person], *, seed: int) -> None:
        self.client = client
        self.people = people
        self.chance = random.Random(seed)
        self.answers = 0

    def look(self, who: Person, text: str, where: str) -> None:
        marks = set(MARK.findall(text))
        assert marks <= {who.mark}, (where, who.mark, marks)

    async def request(self, who: Person, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {**who.bearer, **more.pop("headers", {})}
        answer = await self.client.request(method, path, headers=headers, **more)
        assert answer.status_code < 500, (method, path, answer.text[:300])
        self.look(who, answer.text, f"{method} {path}")
        self.answers += answer.status_code == 200
        return answer

    def other(self, who: Person) -> Person:
        return self.chance.choice([one for one in self.people if one is not who])


def check_prompts(chats: list[Any]) -> int:
    """No model saw what two people said; gives how many prompts hold what somebody said."""
    held = 0
    for chat in chats:
        owners = set(MARK.findall(" ".join(turn.text for turn in chat.asked.turns)))
        assert len(owners) <= 1, owners
        held += bool(owners)
    return held
