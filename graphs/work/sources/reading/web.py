"""Fetching a web page without being turned against the network it runs in.

Each hop is resolved once, checked, and connected to by the checked address (with the name kept for
TLS and the Host header), so neither a redirect nor DNS rebinding leads inside.
"""

import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

from allotrope.exceptions import InputError
from allotrope.graphs.work.sources.reading.addresses import Resolver, checked_address, resolve
from allotrope.support.exchanges import limit

MAX_HOPS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
_TYPES = (
    "text/",
    "application/json",
    "application/ld+json",
    "application/xml",
    "application/xhtml+xml",
    "application/rss+xml",
    "application/atom+xml",
    "application/pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/csv",
)


@dataclass(frozen=True)
class WebPage:
    """What came back.

    Args:
        url: The address after redirects.
        media_type: For example `text/html`.
        encoding: What the server said, or None.
        body: The decompressed bytes.
    """

    url: str
    media_type: str
    encoding: str | None
    body: bytes


def fetch(
    url: str,
    *,
    max_bytes: int = 5_000_000,
    timeout_s: float = 20.0,
    private_hosts: Sequence[str] = (),
    resolver: Resolver = resolve,
) -> WebPage:
    """Gets a page of text, JSON, XML, PDF or DOCX.

    Args:
        url: `http://` or `https://` address.
        max_bytes: Largest body after decompression, in bytes.
        timeout_s: Seconds for everything together.
        private_hosts: Hosts and networks in private ranges that are allowed.
        resolver: Host to addresses; for tests.

    Returns:
        The page.

    Raises:
        InputError: The address is malformed or private, the answer too large, too slow, of another
            type, an error, or redirects in circles.
    """
    deadline = time.monotonic() + timeout_s
    here = url.strip()
    for _ in range(MAX_HOPS + 1):
        parts = _parts(here)
        host, port = str(parts.hostname), parts.port or (443 if parts.scheme == "https" else 80)
        address = checked_address(host, port, private_hosts=private_hosts, resolver=resolver)
        page = _get(parts, address, port, max_bytes=max_bytes, deadline=deadline)
        if isinstance(page, WebPage):
            return page
        here = _onward(url, here, page)
    raise InputError(f"{url[:200]} redirects more than {MAX_HOPS} times.")


def _onward(url: str, here: str, location: str) -> str:
    """Where a page that was asked for leads; what a server says of it isn't repeated."""
    try:
        onward = urljoin(here, location)
        _parts(onward)
    except (ValueError, InputError) as exc:
        raise InputError(f"{url[:200]} leads to what is no web address.") from exc
    return onward


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise InputError(f"{url[:200]!r} is no web address.") from exc
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(
            f"{url[:200]!r} is no web address.", hint="Only http:// and https:// are fetched."
        )
    if parts.username is not None or parts.password is not None:
        raise InputError("A web address with a user name or password in it isn't fetched.")
    if port == 0 or any(ord(sign) < 33 for sign in url):
        raise InputError(f"{url[:200]!r} is no web address.")
    return parts


def _get(
    parts: SplitResult, address: str, port: int, *, max_bytes: int, deadline: float
) -> WebPage | str:
    """One hop: the page, or the address it redirects to."""
    import httpx

    url, host = parts.geturl(), str(parts.hostname)
    literal = f"[{address}]" if ":" in address else address
    name = f"[{host}]" if ":" in host else host.encode("idna").decode() if host else host
    default = 443 if parts.scheme == "https" else 80
    target = parts._replace(netloc=f"{literal}:{port}", fragment="").geturl()
    headers = {
        "Host": name if port == default else f"{name}:{port}",
        "User-Agent": "allotrope",
        "Accept": "text/html, text/*, application/json, application/pdf;q=0.9, */*;q=0.1",
        "Accept-Encoding": "gzip",
    }
    left = deadline - time.monotonic()
    if left <= 0:
        raise InputError(f"{url[:200]} took too long.")
    try:
        # No proxy and no .netrc from the environment: both would bypass the checked address.
        with (
            httpx.Client(trust_env=False, timeout=left, follow_redirects=False) as client,
            limit(client, left, once=True).stream(
                "GET", target, headers=headers, extensions={"sni_hostname": name}
            ) as response,
        ):
            if response.status_code in _REDIRECTS and "location" in response.headers:
                return str(response.headers["location"])
            if response.status_code != 200:
                raise InputError(f"{url[:200]} answered with status {response.status_code}.")
            media_type = response.headers.get("content-type", "").split(";")[0].strip().lower()
            if not media_type.startswith(_TYPES):
                raise InputError(
                    f"{url[:200]} is of the type {media_type[:60] or 'unknown'!r}, which "
                    "isn't read.",
                    hint="Text, HTML, JSON, XML, CSV, PDF and DOCX are.",
                )
            body = _body(response, url, max_bytes=max_bytes, deadline=deadline)
            return WebPage(url, media_type, response.charset_encoding, body)
    except httpx.TimeoutException as exc:
        raise InputError(f"{url[:200]} took too long.") from exc
    except zlib.error as exc:
        raise InputError(f"{url[:200]} is broken: its compression can't be read.") from exc
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as exc:
        raise InputError(f"{url[:200]} can't be fetched: {type(exc).__name__}.") from exc


def _body(response: "httpx.Response", url: str, *, max_bytes: int, deadline: float) -> bytes:  # type: ignore[name-defined] # noqa: F821 # httpx is imported where it is used
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("identity", "", "gzip", "x-gzip"):
        raise InputError(f"{url[:200]} is compressed as {coding[:20]!r}, which isn't read.")
    unzip = zlib.decompressobj(wbits=31) if "gzip" in coding else None
    body = bytearray()
    for chunk in response.iter_raw(65_536):
        body += unzip.decompress(chunk, max_bytes + 1 - len(body)) if unzip else chunk
        if len(body) > max_bytes:
            raise InputError(
                f"{url[:200]} is larger than {max_bytes / 1e6:g} MB.",
                hint="The limit is ALLOTROPE_AGENTS__MAX_DOWNLOAD_MB.",
            )
        if time.monotonic() > deadline:
            raise InputError(f"{url[:200]} took too long.")
    return bytes(body)
