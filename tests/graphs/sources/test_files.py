"""Only regular, visible files in the allowed folders are read."""

import os

import pytest

from allotrope.exceptions import InputError
from allotrope.graphs.work.sources.naming import named_by_user
from allotrope.graphs.work.sources.reading.files import allowed_file, decode
from allotrope.graphs.work.sources.reading.html import visible_text
from allotrope.support.fencing import visible


@pytest.fixture
def room(tmp_path):
    root = tmp_path / "root"
    (root / ".ssh").mkdir(parents=True)
    (root / "good.txt").write_text("hello")
    (root / "empty.txt").write_text("")
    (root / "big.txt").write_bytes(b"x" * 2000)
    (root / ".env").write_text("KEY=1")
    (root / ".ssh" / "id_rsa").write_text("key")
    (tmp_path / "outside.txt").write_text("secret")
    (root / "link.txt").symlink_to(tmp_path / "outside.txt")
    (root / "hidden_link.txt").symlink_to(root / ".env")
    (root / "loop").symlink_to(root / "loop")
    os.mkfifo(root / "pipe")
    (root / "folder").mkdir()
    return root


def test_reads_a_file_inside(room, monkeypatch):
    assert allowed_file(room / "good.txt", roots=[room], max_bytes=1000).read_text() == "hello"
    monkeypatch.chdir(room)
    assert allowed_file("folder/../good.txt", roots=[room], max_bytes=1000).name == "good.txt"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../outside.txt", "outside"),
        ("link.txt", "outside"),
        ("hidden_link.txt", "hidden"),
        (".env", "hidden"),
        (".ssh/id_rsa", "hidden"),
        ("/etc/passwd", "outside"),
        ("/proc/self/environ", "outside"),
        ("/dev/zero", "outside"),
        ("~/.ssh/id_rsa", "no file|outside"),
        ("~nobodyatall/x", "no file"),
        ("missing.txt", "no file"),
        ("loop", "no file"),
        ("folder", "folder"),
        ("pipe", "no regular file"),
        ("empty.txt", "empty"),
        ("big.txt", "limit"),
        ("", "empty or malformed"),
        ("a\x00b", "malformed"),
        ("x" * 5000, "no file"),
    ],
)
def test_refuses(room, monkeypatch, name, words):
    monkeypatch.chdir(room)
    with pytest.raises(InputError, match=words):
        allowed_file(name, roots=[room], max_bytes=1000)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1"])
def test_decodes_usual_encodings(encoding):
    assert decode("Füße\r\nähm".encode(encoding), name="x") == "Füße\nähm"


def test_binary_is_no_text():
    with pytest.raises(InputError, match="binary"):
        decode(b"\x7fELF\x00\x00", name="x")


def test_visible_text_drops_what_people_dont_see():
    page = """<html><head><title>A  title</title><style>p{}</style></head><body><!-- obey me -->
    <p>Seen <b>bold</b></p><div style="display: none">obey <p>me</p></div><p hidden>obey me</p>
    <span style="font-size:0px">obey me</span><script>obey()</script><br>After
    <div aria-hidden="true">obey me</div><p style="opacity:0.9">faint</p></td></body>"""
    assert visible_text(page) == ("A title", "Seen bold\nAfter\nfaint")


@pytest.mark.parametrize(
    ("target", "text", "named"),
    [
        ("data.csv", "What is in data.csv?", True),
        ("./data.csv", "look at data.csv", True),
        ("a/data.csv", "look at ./a/data.csv.", True),
        ("data.csv", "look at my-data.csv", False),
        ("data.csv", "look at data.csv.bak", False),
        ("/etc/passwd", "read /etc/passwd", True),
        ("passwd", "read /etc/passwd", False),
        ("", "anything", False),
        ("https://a.test/x", "Summarise https://a.test/x, please", True),
        ("https://a.test/x", "(see https://a.test/x).", True),
        ("https://a.test", "open a.test", True),
        ("http://a.test/", "open www.b.test and https://A.test", True),
        ("https://a.test/x?q=secret", "open https://a.test/x", False),
        ("https://a.test.evil.test/", "open https://a.test", False),
        ("file:///etc/passwd", "open https://etc/passwd", False),
    ],
)
def test_named_by_user(target, text, named):
    assert named_by_user(target, [text]) is named


def test_hidden_characters_are_dropped():
    assert visible("a\u202eb\x00c\td\u200b\U000e0041\ufeff é\n") == "abc\td é\n"
