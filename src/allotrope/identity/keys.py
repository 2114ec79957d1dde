"""Keys: what they look like, and what a server keeps of them.

A key is `alt_<id>_<secret>`. The secret has 256 random bits, so its SHA-256 can be kept as it is:
slow hashes are for what people think up.
"""

import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass
from decimal import Decimal

from allotrope.exceptions import InputError
from allotrope.identity.principal import Principal

PREFIX = "alt_"
_FORM = re.compile(r"alt_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
NAME = re.compile(r"[^\x00-\x1f\x7f:/#%]{1,128}")
"""What a tenant or a user of a key may be called."""


@dataclass(frozen=True, kw_only=True)
class Key:
    """What a server keeps of a key. Moments are seconds since 1970.

    Args:
        id: The part of the key that isn't secret.
        digest: SHA-256 of the secret, hexadecimal.
        name: For people.
        tenant: Whose data; empty: the settings' tenant.
        user: Who it is; empty: the key itself.
        agents: Which agents it may ask; None: all.
        tools: Which tools they may use for it; None: all they have.
        usd: Its budget in USD for each period, or None.
        tokens: Its budget in tokens for each period, or None.
        period: day, week or month.
        requests_per_minute: Turns it may begin; None: the settings' limit.
        operator: Whether it sees everything.
        made_at: When it was made.
        expires_at: When it ends, or None.
        revoked_at: When it was revoked, or None.
        former_digest: Of the secret before the last rotation; empty: none.
        former_until: Until when that one is good.
    """

    id: str
    digest: str
    name: str = ""
    tenant: str = ""
    user: str = ""
    agents: tuple[str, ...] | None = None
    tools: tuple[str, ...] | None = None
    usd: Decimal | None = None
    tokens: int | None = None
    period: str = "month"
    requests_per_minute: int | None = None
    operator: bool = False
    made_at: float = 0.0
    expires_at: float | None = None
    revoked_at: float | None = None
    former_digest: str = ""
    former_until: float = 0.0

    def state(self, now: float | None = None) -> str:
        """`good`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        at = time.time() if now is None else now
        return "expired" if self.expires_at is not None and at >= self.expires_at else "good"

    def opens(self, secret: str, now: float | None = None) -> bool:
        """Whether this is its secret and it is still good; takes as long for each wrong one."""
        at = time.time() if now is None else now
        digest = digest_of(secret)
        right = hmac.compare_digest(digest, self.digest)
        former = hmac.compare_digest(digest, self.former_digest) and at < self.former_until
        return (right or former) and self.state(at) == "good"

    @property
    def principal(self) -> Principal:
        """Who shows it."""
        budget = ""
        if self.usd is not None:
            budget = f"usd {self.usd} {self.period}"
        elif self.tokens is not None:
            budget = f"tokens {self.tokens} {self.period}"
        return Principal(
            f"key:{self.id}",
            tenant=self.tenant,
            user=None if self.operator else self.user or f"key#{self.id}",
            agents=None if self.agents is None else frozenset(self.agents),
            tools=None if self.tools is None else frozenset(self.tools),
            requests_per_minute=self.requests_per_minute,
            allowance=budget,
            operator=self.operator,
        )


def digest_of(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def new_secret() -> str:
    """256 random bits as text."""
    return secrets.token_urlsafe(32)


def new_id() -> str:
    """A key's id."""
    return secrets.token_hex(6)


def text_of(id: str, secret: str) -> str:
    """The key as its owner gets it, once."""
    return f"{PREFIX}{id}_{secret}"


def parts_of(text: str) -> tuple[str, str] | None:
    """Id and secret of a key, or None where a text is no key."""
    found = _FORM.fullmatch(text)
    return (found[1], found[2]) if found else None


def check_key(key: Key) -> None:
    """Refuses a key that can't be one.

    Raises:
        InputError: A name can't be used, or two things exclude each other.
    """
    for what, name in (("tenant", key.tenant), ("user", key.user)):
        if name and not NAME.fullmatch(name):
            raise InputError(
                f"{name[:60]!r} can't be the {what} of a key.",
                hint="Use up to 128 characters without : / # and %.",
            )
    if key.usd is not None and key.tokens is not None:
        raise InputError("A key has a budget in USD or in tokens, not both.")
    if key.operator and (key.tenant or key.user or key.usd is not None or key.tokens is not None):
        raise InputError(
            "An operator's key sees everything: it has no tenant, no user and no budget."
        )
