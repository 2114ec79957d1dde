"""Tokens of an issuer: a real one on loopback, its users, and who would like to be one."""

import asyncio
import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from allotrope.exceptions import SettingsError
from allotrope.identity import signed
from allotrope.identity.signed import SignedTokens, check_keys_place
from allotrope.settings.serve import JwtSettings
from allotrope.testing import ProviderSimulator

AUDIENCE = "allotrope"


class Issuer:
    """An OpenID Connect provider, as far as we ask it."""

    def __init__(self) -> None:
        self.url = ""
        self.keys: dict[str, Any] = {"first": rsa.generate_private_key(65537, 2048)}
        self.asked = 0
        self.answer: Callable[[], Response] | None = None
        self.app = Starlette(routes=[Route("/jwks", self.jwks)])

    async def jwks(self, request: Request) -> Response:
        self.asked += 1
        if self.answer is not None:
            return self.answer()
        return JSONResponse({"keys": [self.public(name) for name in self.keys]})

    def public(self, name: str) -> dict[str, Any]:
        key = self.keys[name]
        kind = jwt.algorithms.RSAAlgorithm
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return {**jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), True), "kid": name}
        return {**kind.to_jwk(key.public_key(), True), "kid": name, "use": "sig"}

    def token(self, *, by: str = "first", algorithm: str = "RS256", **changes: Any) -> str:
        now = time.time()
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": "kim", "exp": now + 60, "nbf": now - 1}
        claims = {k: v for k, v in {**claims, **changes}.items() if v is not None}
        return jwt.encode(claims, self.keys[by], algorithm=algorithm, headers={"kid": by})

    def settings(self, **changes: Any) -> dict[str, Any]:
        return {
            "issuer": self.url, "audience": AUDIENCE, "keys_url": f"{self.url}/jwks",
            "tenant_claim": "org", "agents_claim": "agents", "leeway_s": 0, **changes,
        }  # fmt: skip


@pytest.fixture
def issuer(running_app: Any) -> Iterator[Issuer]:
    made = Issuer()
    with running_app(made.app) as made.url:
        yield made


def tokens(issuer: Issuer, **changes: Any) -> SignedTokens:
    return SignedTokens(JwtSettings.model_validate(issuer.settings(**changes)))


async def test_the_claims_say_who_it_is(issuer: Issuer) -> None:
    good = tokens(issuer)
    found = await good.principal(issuer.token(org="acme", agents=["assistant"]))
    assert found is not None
    assert (found.tenant, found.user, found.agents) == ("acme", "kim", frozenset({"assistant"}))
    assert not found.operator
    same = await good.principal(issuer.token(org="acme", sub="a::b/c#d", agents="coder x"))
    assert same is not None
    assert same.user == "a%3A%3Ab%2Fc%23d"  # none of our separators can be slipped in
    assert same.agents == frozenset({"coder", "x"})
    none = await good.principal(issuer.token(org="acme"))
    assert none is not None
    assert none.agents == frozenset()  # no claim, no agents
    assert issuer.asked == 1


async def test_nothing_else_is_good(issuer: Issuer) -> None:
    good, now = tokens(issuer), time.time()
    own = {"org": "acme"}
    pem = issuer.public("first")
    stranger = Issuer()
    stranger.url = issuer.url
    unsigned = jwt.encode(
        {"iss": issuer.url, "aud": AUDIENCE, "sub": "kim", "exp": now + 60, **own},
        key=None, algorithm="none", headers={"kid": "first"},
    )  # fmt: skip

    def symmetric() -> str:
        """The oldest trick: the public key as the secret of an HMAC."""

        def part(of: Any) -> bytes:
            return base64.urlsafe_b64encode(json.dumps(of).encode()).rstrip(b"=")

        import hashlib
        import hmac

        claims = {"iss": issuer.url, "aud": AUDIENCE, "sub": "kim", "exp": now + 60, **own}
        text = part({"alg": "HS256", "kid": "first"}) + b"." + part(claims)
        seal = hmac.new(json.dumps(pem).encode(), text, hashlib.sha256).digest()
        return (text + b"." + base64.urlsafe_b64encode(seal).rstrip(b"=")).decode()

    whole = issuer.token(**own)
    head, body, seal = whole.split(".")
    bad = {
        "ended": issuer.token(exp=now - 1, **own),
        "not yet": issuer.token(nbf=now + 60, **own),
        "without an end": issuer.token(exp=None, **own),
        "another issuer": issuer.token(iss="https://evil.example", **own),
        "without an issuer": issuer.token(iss=None, **own),
        "for somebody else": issuer.token(aud="other", **own),
        "for nobody": issuer.token(aud=None, **own),
        "nobody": issuer.token(sub=None, **own),
        "an empty name": issuer.token(sub="", **own),
        "a long name": issuer.token(sub="x" * 300, **own),
        "a tenant of another kind": issuer.token(org=["acme"]),
        "without a tenant": issuer.token(),
        "agents of another kind": issuer.token(agents={"all": True}, **own),
        "an algorithm that isn't listed": issuer.token(algorithm="RS512", **own),
        "unsigned": unsigned,
        "symmetric": symmetric(),
        "a stranger's": stranger.token(**own),
        "another seal": f"{head}.{body}.{seal[::-1]}",
        "another body": f"{head}.{issuer.token(sub='ann', **own).split('.')[1]}.{seal}",
        "no token": "ey.ey.ey",
        "too long": whole + "x" * 20_000,
    }
    for what, token in bad.items():
        assert await good.principal(token) is None, what
    assert await good.principal(whole) is not None


async def test_a_token_ends_when_it_says_though_it_was_good_before(issuer: Issuer) -> None:
    good = tokens(issuer)
    await good.principal(issuer.token(org="acme"))  # fetches the signing keys
    token = issuer.token(org="acme", exp=time.time() + 4)
    assert await good.principal(token) is not None
    assert await good.principal(token) is not None
    await asyncio.sleep(4.1)
    assert await good.principal(token) is None


async def test_signing_keys_are_fetched_beside_the_requests(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = tokens(issuer)
    old = issuer.token(org="acme")
    assert await good.principal(old) is not None
    issuer.keys["second"] = ec.generate_private_key(ec.SECP256R1())
    new = issuer.token(by="second", algorithm="ES256", org="acme", sub="ann")
    assert await good.principal(new) is None  # nobody waits for it
    assert issuer.asked == 1  # and not more than one fetch in ten seconds
    monkeypatch.setattr(signed, "AGAIN_S", 0.0)
    for _ in range(200):
        if await good.principal(new) is not None:
            break
        await asyncio.sleep(0.02)
    else:
        raise AssertionError("the new signing key was never found")
    issuer.answer = lambda: Response("gone", 500)
    again = issuer.token(org="acme", sub="ben")
    assert await good.principal(again) is not None  # what is known stays


@pytest.mark.parametrize(
    "answer",
    [
        lambda: Response("x" * (signed.MOST_BYTES + 1)),
        lambda: Response("no json"),
        lambda: JSONResponse([]),
        lambda: JSONResponse({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "first"}]}),
        lambda: Response(status_code=302, headers={"location": "http://127.0.0.1:1/"}),
    ],
)
async def test_an_issuer_that_answers_nonsense_lets_nobody_in(issuer: Issuer, answer: Any) -> None:
    issuer.answer = answer
    assert await tokens(issuer).principal(issuer.token(org="acme")) is None


def test_signing_keys_come_over_tls_or_from_here() -> None:
    base = {"issuer": "i", "audience": "a"}
    for url in ("https://id.example/jwks", "http://127.0.0.1:9/jwks"):
        check_keys_place(JwtSettings.model_validate({**base, "keys_url": url}))
    with pytest.raises(SettingsError):
        check_keys_place(JwtSettings.model_validate({**base, "keys_url": "http://id.example/k"}))
    for algorithm in ("HS256", "none", "RS1"):
        with pytest.raises(ValueError, match="algorithms"):
            JwtSettings.model_validate(
                {**base, "keys_url": "https://x.example/", "algorithms": [algorithm]}
            )
    with pytest.raises(ValueError, match="keys_url or keys_file"):
        JwtSettings.model_validate(base)


async def test_keys_of_a_file(issuer: Issuer, tmp_path: Any) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [issuer.public("first")]}))
    good = tokens(issuer, keys_url=None, keys_file=str(file))
    assert await good.principal(issuer.token(org="acme")) is not None
    assert issuer.asked == 0


def test_the_server_takes_them_as_it_takes_keys(
    issuer: Issuer, serve: Any, simulator: ProviderSimulator
) -> None:
    base = serve(jwt=issuer.settings(), requests_per_minute=2)
    assert httpx.get(f"{base}/v1/models").status_code == 401  # an issuer is a door: it is closed

    def bearer(**claims: Any) -> dict[str, str]:
        return {"authorization": f"Bearer {issuer.token(**claims)}"}

    kim = {"org": "acme", "agents": ["assistant"]}
    listed = httpx.get(f"{base}/v1/models", headers=bearer(**kim), timeout=30).json()["data"]
    assert [one["id"] for one in listed] == ["assistant"]
    assert httpx.get(f"{base}/dashboard", headers=bearer(**kim)).status_code == 403
    body = {"agent": "assistant", "text": "My PIN is 4711.", "thread_id": "notes"}
    said = httpx.post(f"{base}/api/turns", json=body, headers=bearer(**kim), timeout=60)
    assert '"type": "reply"' in said.text
    for claims, seen in (
        (kim, True),
        ({**kim, "sub": "ann"}, False),
        ({**kim, "org": "globex"}, False),
    ):
        found = httpx.get(f"{base}/api/threads/notes", headers=bearer(**claims), timeout=30)
        assert ("4711" in found.text) is seen
