"""What a request shows of who sends it: a bearer token, or a browser's session."""

import hashlib
import hmac
import time

from starlette.requests import HTTPConnection

from allotrope.identity.keys import PREFIX, digest_of, parts_of
from allotrope.identity.known_keys import KnownKeys
from allotrope.identity.principal import ANYBODY, OPERATOR, Principal
from allotrope.identity.signed import SignedTokens, check_keys_place
from allotrope.settings import Settings
from allotrope.web.access.limits import RateLimit
from allotrope.web.errors import RequestError

COOKIE = "allotrope_session"

SESSION_S = 12 * 3600
"""How long a browser stays logged in, seconds."""

WRONG_PER_MINUTE = 10
"""So many wrong tokens may come from one address."""

_OPERATOR = "operator"


class Credentials:
    """Says who calls. Making one does no I/O.

    Args:
        settings: Of the section `serve`, and where the keys are.
    """

    def __init__(self, settings: Settings) -> None:
        serve = settings.serve
        self._digest = None if serve.token is None else digest_of(serve.token.get_secret_value())
        self._keys = KnownKeys(settings)
        self._signed: SignedTokens | None = None
        if serve.jwt is not None:
            check_keys_place(serve.jwt)
            self._signed = SignedTokens(serve.jwt)
        self.anybody = self._digest is None and self._signed is None
        """Whether a request without a credential is served."""
        self._wrong = RateLimit(WRONG_PER_MINUTE)

    async def principal(self, request: HTTPConnection, address: str) -> Principal | None:
        """Who sends a request, or None where nothing good was shown.

        Args:
            request: What was sent.
            address: From where, for the limit of wrong tokens.

        Raises:
            RequestError: More than one credential was shown, or too many wrong ones before.
            StoreError: The keys can't be reached.
        """
        shown = request.headers.getlist("authorization")
        if len(shown) > 1:
            raise RequestError("There is more than one Authorization header.", code="bad_header")
        if shown:
            scheme, _, text = shown[0].partition(" ")
            if scheme.lower() == "bearer":
                found = await self.owner(text.strip(), address)
                if found is not None or not self.anybody or text.strip().startswith(PREFIX):
                    return found
        cookie = request.cookies.get(COOKIE)
        if cookie is not None and (found := await self._of_session(cookie)) is not None:
            return found
        return ANYBODY if self.anybody else None

    async def owner(self, text: str, address: str) -> Principal | None:
        """Whose token, key or signed token a text is, or None.

        Args:
            text: What was shown.
            address: From where. Ten wrong ones a minute are looked at; after that only keys are
                that were good before, so that nobody guesses and nobody is locked out by others.

        Raises:
            RequestError: Too many wrong ones came from there.
            StoreError: The keys can't be reached.
        """
        parts = parts_of(text)
        limited = self._wrong.is_empty(address)
        if limited and not (parts is not None and self._keys.knows(parts[0])):
            self._too_many(address)
        found = await self._owner(text, parts)
        if found is None and not self._is_ignored(text) and self._wrong.wait_s(address):
            self._too_many(address)
        return found

    def _is_ignored(self, text: str) -> bool:
        """Without a token clients send whatever they must send: that is no guess."""
        return self.anybody and not text.startswith(PREFIX)

    def _too_many(self, address: str) -> None:
        raise RequestError(
            "Too many wrong tokens came from your address; wait a minute.",
            status=429,
            code="rate_limit_exceeded",
            retry_after_s=60 / WRONG_PER_MINUTE,
        )

    async def _owner(self, text: str, parts: tuple[str, str] | None) -> Principal | None:
        if self._digest is not None and hmac.compare_digest(digest_of(text), self._digest):
            return OPERATOR
        if parts is not None:
            key = await self._keys.get(parts[0])
            return key.principal if key is not None and key.opens(parts[1]) else None
        if self._signed is not None and self._signed.looks_like_one(text):
            return await self._signed.principal(text)
        return None

    def is_token(self, text: str) -> bool:
        """Whether a text is the server's own token."""
        return self._digest is not None and hmac.compare_digest(digest_of(text), self._digest)

    def session(self, text: str) -> str:
        """What a browser keeps for a token or key that is good: derived from it, with an end.

        Args:
            text: The token or the key.
        """
        parts = parts_of(text)
        name = _OPERATOR if parts is None else parts[0]
        until = str(int(time.time()) + SESSION_S)
        material = digest_of(text if parts is None else parts[1])
        return f"{name}.{until}.{_seal(material, name, until)}"

    async def _of_session(self, cookie: str) -> Principal | None:
        name, _, rest = cookie.partition(".")
        until, _, seal = rest.partition(".")
        if not (until.isascii() and until.isdigit() and len(until) < 12):
            return None
        if int(until) < time.time() or int(until) > time.time() + SESSION_S + 60:
            return None
        if name == _OPERATOR:
            good = self._digest is not None and _same(seal, _seal(self._digest, name, until))
            return OPERATOR if good else None
        if parts_of(f"{PREFIX}{name}_{'x' * 43}") is None:
            return None
        key = await self._keys.get(name)
        good = key is not None and _same(seal, _seal(key.digest, name, until))
        return key.principal if key is not None and good and key.state() == "good" else None

    def close(self) -> None:
        """Closes the connections to the keys."""
        self._keys.close()


def _seal(material: str, name: str, until: str) -> str:
    text = f"allotrope web session {name} {until}".encode()
    return hmac.new(material.encode(), text, hashlib.sha256).hexdigest()


def _same(shown: str, right: str) -> bool:
    return hmac.compare_digest(shown.encode(), right.encode())
