"""Tokens that somebody else signed: OpenID Connect's, or any JWT with a key pair behind it."""

import asyncio
import contextlib
import hashlib
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

from allotrope.exceptions import SettingsError
from allotrope.identity.principal import Principal
from allotrope.settings.serve import JwtSettings
from allotrope.stores.errors import error_name
from allotrope.support.extras import needed
from allotrope.support.pools import KEYS

logger = logging.getLogger(__name__)

MOST_BYTES = 512_000
"""Longest answer with signing keys."""

MOST_KEYS = 100
"""So many signing keys of an issuer are used."""

FETCH_S = 5.0
"""A fetch of the signing keys ends after so many seconds, whatever the issuer sends."""

AGAIN_S = 10.0
"""Between two fetches at least, seconds: a token can name any signing key it likes."""

REMEMBERED_S = 60.0
"""A token that was good isn't verified anew for so long, seconds; it still ends when it says."""

MOST_TOKENS = 10_000
LONGEST_TOKEN = 16_384


class SignedTokens:
    """Verifies tokens of one issuer. Making one does no I/O.

    The first token waits for the signing keys; after that they are fetched beside the requests,
    and a token that names an unknown one is refused until they are there.

    Args:
        settings: Issuer, audience, where the signing keys are, and which claims say what.
    """

    def __init__(self, settings: JwtSettings) -> None:
        with needed("Signed tokens"):
            import jwt
        self._jwt = jwt
        self._settings = settings
        self._keys: dict[str, Any] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._good: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()

    @staticmethod
    def looks_like_one(text: str) -> bool:
        """Whether a text has the form of a JWT."""
        return text.startswith("ey") and text.count(".") == 2

    async def principal(self, token: str) -> Principal | None:
        """Whose token it is; None where it isn't good.

        Args:
            token: As it was shown.
        """
        if len(token) > LONGEST_TOKEN or not self.looks_like_one(token):
            return None
        place = hashlib.sha256(token.encode()).digest()
        known = self._good.get(place)
        if known is not None and time.time() < known[1]:
            return known[0]
        await self._fetch()
        claims = self._claims(token)
        found = None if claims is None else self._named(claims)
        if found is not None and claims is not None:
            self._good[place] = (found, min(float(claims["exp"]), time.time() + REMEMBERED_S))
            while len(self._good) > MOST_TOKENS:
                self._good.popitem(last=False)
        return found

    def _claims(self, token: str) -> dict[str, Any] | None:
        settings = self._settings
        try:
            key = self._key(self._jwt.get_unverified_header(token))
            if key is None:
                return None
            found: dict[str, Any] = self._jwt.decode(
                token,
                key,
                algorithms=list(settings.algorithms),
                audience=settings.audience,
                issuer=settings.issuer,
                leeway=settings.leeway_s,
                options={"require": ["exp", "iss", "aud", settings.user_claim]},
            )
            found["exp"] = float(found["exp"])
        except (self._jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as exc:
            logger.info("a signed token was refused: %s", type(exc).__name__)
            return None
        return found

    def _key(self, header: Mapping[str, Any]) -> Any:
        """The signing key that a token names; where it names none, the only one."""
        name = header.get("kid")
        if name is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        found = self._keys.get(name) if isinstance(name, str) else None
        if found is None:
            self._begin()
        return found

    def _named(self, claims: Mapping[str, Any]) -> Principal | None:
        settings = self._settings
        user = _quoted(claims.get(settings.user_claim))
        named = settings.tenant_claim
        tenant = "" if named is None else _quoted(claims.get(named))
        if user is None or tenant is None:
            return None
        agents: frozenset[str] | None = None
        if settings.agents_claim is not None:
            listed = claims.get(settings.agents_claim, [])
            listed = listed.split() if isinstance(listed, str) else listed
            if not isinstance(listed, list):
                return None
            agents = frozenset(name for name in listed if isinstance(name, str))
        digest = hashlib.sha256(f"{tenant}/{user}".encode()).hexdigest()[:16]
        return Principal(f"jwt:{digest}", tenant=tenant, user=user, agents=agents)

    async def _fetch(self) -> None:
        """Sees to it that there are signing keys; only the first token waits for them."""
        now = time.monotonic()
        if self._fetched_at is None:
            self._begin()
            if self._fetching is not None:
                await asyncio.shield(self._fetching)
        elif now - self._fetched_at > self._settings.refresh_s:
            self._begin()

    def _begin(self) -> None:
        now = time.monotonic()
        if self._fetching is None and (self._tried_at is None or now - self._tried_at > AGAIN_S):
            self._tried_at = now
            self._fetching = asyncio.create_task(self._fetched())

    async def _fetched(self) -> None:
        try:
            async with asyncio.timeout(FETCH_S):
                read = await self._read()
            self._keys = self._usable(json.loads(read))
            self._fetched_at = time.monotonic()
        except Exception as exc:  # noqa: BLE001  # an issuer that fails leaves the keys as they are
            logger.warning("the issuer's signing keys can't be read: %s", error_name(exc))
        finally:
            self._fetching = None

    async def _read(self) -> bytes:
        settings = self._settings
        if settings.keys_file is not None:
            return await KEYS.run(settings.keys_file.read_bytes)
        assert settings.keys_url is not None
        read = bytearray()
        async with (
            httpx.AsyncClient(timeout=FETCH_S, follow_redirects=False, trust_env=False) as client,
            client.stream("GET", settings.keys_url) as answer,
        ):
            answer.raise_for_status()
            async for part in answer.aiter_raw():  # not unpacked: what is small stays small
                read += part
                if len(read) > MOST_BYTES:
                    raise ValueError("the answer is too long")
        return bytes(read)

    def _usable(self, listed: Any) -> dict[str, Any]:
        """The keys by name that one of our algorithms can use; symmetric ones never."""
        found: dict[str, Any] = {}
        for number, one in enumerate(listed["keys"][:MOST_KEYS]):
            if one.get("kty") not in ("RSA", "EC", "OKP") or one.get("use", "sig") != "sig":
                continue
            with contextlib.suppress(self._jwt.PyJWTError, ValueError, TypeError, KeyError):
                found[str(one.get("kid", f"#{number}"))] = self._jwt.PyJWK(one)
        return found


def check_keys_place(settings: JwtSettings) -> None:
    """Refuses signing keys that anybody on the way could exchange.

    Raises:
        SettingsError: The address is plain HTTP to another machine.
    """
    from urllib.parse import urlsplit

    if settings.keys_url is None:
        return
    parts = urlsplit(settings.keys_url)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise SettingsError(
            "The signing keys would come over plain HTTP.",
            hint="Give an https:// address in ALLOTROPE_SERVE__JWT__KEYS_URL.",
        )


def _quoted(name: Any) -> str | None:
    """A name in which nothing can be taken for our own separators; None where it is none."""
    if not isinstance(name, str) or not 0 < len(name) <= 256 or not name.isprintable():
        return None
    return quote(name, safe=" @!$&'()*+,;=|._~-")
