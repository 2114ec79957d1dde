"""What comes from outside, at random: it is read, or refused in our own words, and never raises."""

import asyncio
import base64
import contextlib
import json
import math
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.security.expressions import UNITS
from tests.security.readers import outcome as reads
from tests.security.readers import readers

from allotrope.exceptions import AllotropeError, InputError
from allotrope.identity.principal import Principal
from allotrope.identity.signed import SignedTokens
from allotrope.models.cache.policy import DIRECTIVES, request_of
from allotrope.settings import Settings
from allotrope.settings.cache import CacheSettings
from allotrope.settings.serve import JwtSettings
from allotrope.web.access.credentials import Credentials
from allotrope.web.chat.api import TurnRequest
from allotrope.web.errors import RequestError, problem_of
from allotrope.web.openai import api
from allotrope.web.openai.request import read_request

AUDIENCE, ISSUER = "allotrope", "https://id.example"

many = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**400), math.inf, -math.inf, math.nan, 2**63, 1e308])
    | st.floats()
    | st.text(max_size=40)
    | st.sampled_from(["\ud800", "\x00", "‮", "a::b", "../..", "<!channel>", "ey.ey.ey"])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)

KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def signed(tmp_path: Any) -> SignedTokens:
    public = {**jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key(), True), "kid": "one"}
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [public]}))
    fields = {"issuer": ISSUER, "audience": AUDIENCE, "keys_file": str(file)}
    claims = {"tenant_claim": "org", "agents_claim": "agents"}
    return SignedTokens(JwtSettings.model_validate({**fields, **claims}))


def part(of: bytes) -> bytes:
    return base64.urlsafe_b64encode(of).rstrip(b"=")


def sealed(header: bytes, body: bytes) -> str:
    """A token with a good signature, whatever stands in it."""
    text = part(header) + b"." + part(body)
    seal = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256).sign(text, KEY)
    return (text + b"." + part(seal)).decode()


HEADER = json.dumps({"alg": "ES256", "kid": "one"}).encode()


@many
@given(st.dictionaries(st.sampled_from(["exp", "nbf", "iat", "sub", "org", "agents"]), values))
def test_claims_of_the_issuer_of_any_kind(signed: SignedTokens, claims: dict[str, Any]) -> None:
    usual = {"iss": ISSUER, "aud": AUDIENCE, "sub": "kim", "exp": time.time() + 60, "org": "acme"}
    token = sealed(HEADER, json.dumps({**usual, **claims}).encode())
    found = asyncio.run(signed.principal(token))
    assert found is None or isinstance(found, Principal)


@pytest.mark.parametrize("body", [b"[" * 12_000, b'{"exp":' * 1_700, b"null", b"1", b"\xff", b""])
def test_a_token_with_a_body_that_is_none(signed: SignedTokens, body: bytes) -> None:
    assert asyncio.run(signed.principal(sealed(HEADER, body))) is None
    assert asyncio.run(signed.principal(sealed(body, b"{}"))) is None


@many
@given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "jwk", "b64"]), values))
def test_headers_of_a_token_of_any_kind(signed: SignedTokens, header: dict[str, Any]) -> None:
    head = json.dumps({"alg": "ES256", **header}).encode()
    found = asyncio.run(signed.principal(sealed(head, b'{"sub": "kim"}')))
    assert found is None


@many
@given(st.text(max_size=300), st.sampled_from(["", "alt_", "ey", "ey.ey.", "alt_0123456789ab_"]))
def test_a_bearer_of_any_kind(text: str, before: str) -> None:
    credentials = Credentials(
        Settings.model_validate({"serve": {"token": "t" * 20}, "openai": {"api_key": None}})
    )
    with contextlib.suppress(RequestError):  # after ten wrong ones
        assert asyncio.run(credentials.owner(before + text, "192.0.2.1")) is None


FIELDS = st.sampled_from(
    ["model", "messages", "stream", "stream_options", "user", "n", "response_format", "tools",
     "tool_choice", "logprobs", "allotrope", "role", "content", "agent", "text", "thread_id"]
)  # fmt: skip
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "tool"]) | values},
        optional={"content": values},
    ),
    max_size=4,
)
bodies = st.dictionaries(FIELDS, values, max_size=8) | st.builds(
    lambda extra, said: {"model": "assistant", "messages": said, **extra},
    st.dictionaries(FIELDS, values, max_size=3),
    messages,
)


def outcome(read: Callable[[], Any]) -> int:
    """The status of what was read: 200, or that of its refusal."""
    try:
        read()
    except (AllotropeError, ValidationError) as exc:
        # the page's route makes one sentence of all that pydantic says
        return 400 if isinstance(exc, ValidationError) else problem_of(exc).status
    return 200


@many
@given(bodies | values)
def test_bodies_of_any_kind(body: Any) -> None:
    written = json.dumps(body).encode()

    def read() -> None:
        request = read_request(api._parsed(written))
        request.conversation()
        assert request.ignored == sorted(request.ignored)

    assert outcome(read) in (200, 400)
    assert outcome(lambda: TurnRequest.model_validate(api._parsed(written))) in (200, 400)


@many
@given(st.binary(max_size=200))
def test_bytes_of_any_kind(body: bytes) -> None:
    assert outcome(lambda: api._parsed(body)) in (200, 400)


TEXTS = [
    *("\u00b2 in 5", "write \u00b2 words", "the \u00b2th word", "a haiku of \u00b2-5-7 syllables"),
    *(
        "[\x00999\x00] is cited [1].",
        "ttl=\u00b2",
        f"ttl={'9' * 400}",
        "http://[",
        "http://a\u2100b",
    ),
    *("from=0001-01-01T00:00%2B14:00", f"#{'9' * 30}", f"{'9' * 5_000} km", "1" * 60 + "%"),
]
pieces = st.sampled_from([*TEXTS, *UNITS]) | st.text(max_size=20)


@pytest.mark.parametrize("name", readers())
def test_texts_that_came_through_once(name: str) -> None:
    for one in TEXTS:
        reads(readers()[name], one)


@pytest.mark.parametrize("name", readers())
@settings(many, max_examples=40)
@given(st.lists(pieces, max_size=6).map("".join))
def test_texts_of_any_kind(name: str, text: str) -> None:
    reads(readers()[name], text)


def test_a_directive_that_no_store_takes_is_refused() -> None:
    for wrong in ("ttl=\u00b2", f"ttl={'9' * 400}", "max-age=\u00b2"):
        with pytest.raises(InputError, match="directive"):
            request_of({DIRECTIVES: wrong}, settings=CacheSettings())
    assert request_of({DIRECTIVES: "ttl=60"}, settings=CacheSettings()).ttl_s == 60
