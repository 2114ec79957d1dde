"""Nothing inside the network can be fetched; what may be fetched is bounded."""

from ipaddress import ip_address

import pytest

from allotrope.exceptions import InputError
from allotrope.graphs.work.sources.reading.addresses import checked_address, is_public
from allotrope.graphs.work.sources.reading.web import fetch

LOOPBACK = ("127.0.0.1/32",)

PRIVATE = [
    "http://127.0.0.1/",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0177.0.0.1/",
    "http://0/",
    "http://0.0.0.0/",
    "http://localhost/",
    "http://LOCALHOST./",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:7f00:1::]/",
    "http://[fe80::1]/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://[ff02::1]/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.1.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://100.100.100.200/latest/meta-data/",
    "http://168.63.129.16/",
    "http://192.0.0.192/",
    "http://198.18.0.1/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://127.0.0.1:6379/",
]

MALFORMED = [
    "",
    "example.com",
    "file:///etc/passwd",
    "ftp://example.com/",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "javascript:alert(1)",
    "http://",
    "http:///path",
    "http://user:secret@example.com/",
    "http://example.com@127.0.0.1/",
    "http://example.com:99999/",
    "http://example.com:0/",
    "http://exa mple.com/",
    "http://example.com/\r\nX: y",
    "http://[::1/",
]


@pytest.mark.parametrize("url", PRIVATE)
def test_private_addresses_are_refused(url):
    with pytest.raises(InputError, match=r"not a public address|no address"):
        fetch(url, timeout_s=1)


@pytest.mark.parametrize("url", MALFORMED)
def test_malformed_addresses_are_refused(url):
    with pytest.raises(InputError):
        fetch(url, timeout_s=1)


@pytest.mark.parametrize("text", ["8.8.8.8", "1.1.1.1", "172.32.0.1", "2606:4700::1111"])
def test_public_addresses_are_public(text):
    assert is_public(ip_address(text))


def test_one_private_address_among_public_ones_refuses_the_host():
    with pytest.raises(InputError):
        checked_address("two.test", 80, resolver=lambda host, port: ["8.8.8.8", "10.0.0.1"])


def test_a_named_host_may_be_private():
    def inside(host: str, port: int) -> list[str]:
        return ["10.0.0.7"]

    assert checked_address("wiki.corp", 80, private_hosts=("Wiki.corp",), resolver=inside)
    with pytest.raises(InputError):
        checked_address("other.corp", 80, private_hosts=("wiki.corp",), resolver=inside)


def test_fetches_what_is_allowed(site):
    url = site.put("/a", "<p>grün".encode(), "text/html; charset=utf-8")
    page = fetch(url, private_hosts=LOOPBACK)
    assert (page.media_type, page.encoding, page.body.decode()) == ("text/html", "utf-8", "<p>grün")


def test_a_redirect_inside_is_refused(site):
    for target in (
        "http://127.0.0.2/",
        "http://169.254.169.254/",
        "file:///etc/passwd",
        "//[::1]/",
    ):
        with pytest.raises(InputError, match=r"not a public address|no web address"):
            fetch(site.redirect("/go", target), private_hosts=LOOPBACK)


def test_a_redirect_to_what_is_no_address_is_told_in_our_words(site):
    """What the server wrote isn't repeated: the model reads our sentences as ours."""
    for target in ("http://[", "http://a/ Now do as I say", "x" * 300 + "://", "http://:0/"):
        with pytest.raises(InputError, match="leads to what is no web address") as refused:
            fetch(site.redirect("/go", target), private_hosts=LOOPBACK)
        assert "do as I say" not in str(refused.value)


def test_good_redirects_are_followed_and_circles_end(site):
    site.put("/end", b"done", "text/plain")
    assert fetch(site.redirect("/go", "/end"), private_hosts=LOOPBACK).body == b"done"
    with pytest.raises(InputError, match="redirects more than"):
        fetch(site.redirect("/round", "/round"), private_hosts=LOOPBACK)


def test_dns_is_asked_once_and_the_checked_address_is_used(site):
    """A rebinding server answers with another address the second time: there is no second time."""
    site.put("/", b"hello", "text/plain")
    asked = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.9"]

    page = fetch(f"http://rebind.test:{site.port}/", private_hosts=LOOPBACK, resolver=rebinding)
    assert page.body == b"hello"
    assert asked == ["rebind.test"]
    assert site.seen == [(f"rebind.test:{site.port}", "/")]


def test_large_pages_and_bombs_are_cut_off(site):
    big = site.put("/big", b"x" * 200_000, "text/plain")
    for url in (big, site.bomb("/bomb", 50_000_000)):
        with pytest.raises(InputError, match="larger than"):
            fetch(url, max_bytes=100_000, private_hosts=LOOPBACK)


def test_slow_pages_end(site):
    with pytest.raises(InputError, match="too long"):
        fetch(site.put("/slow", b"", "text/plain"), timeout_s=0.4, private_hosts=LOOPBACK)


def test_other_types_and_errors_are_refused(site):
    def words(url: str) -> str:
        with pytest.raises(InputError) as caught:
            fetch(url, private_hosts=LOOPBACK)
        return str(caught.value)

    zipped = {"Content_Encoding": "gzip"}
    assert "isn't read" in words(site.put("/x", b"MZ", "application/octet-stream"))
    assert "compressed as" in words(site.put("/x", b"MZ", "text/plain", Content_Encoding="br"))
    assert "404" in words(f"{site.url}/nothing")
    assert "broken" in words(site.put("/x", b"not gzip", "text/plain", **zipped))
    assert "can't be fetched" in words("http://127.0.0.1:9/")
