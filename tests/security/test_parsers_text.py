"""What a text may do to the tokenizer and to the cache's codec: take its time, and no more."""

import random
import struct
import subprocess
import sys

import pytest

from allotrope import build_agent
from allotrope.exceptions import InputTooLongError
from allotrope.memory.compression.shorten import middle_out
from allotrope.memory.tokens.counting import TokenCounter, exact
from allotrope.models.cache.storage.codec import Codec, UnreadableEntryError
from allotrope.stores.vocabulary import o200k_base, token_ids
from allotrope.usage.recorder.estimate import ExactCounter


@pytest.mark.parametrize("sign", [" ", "\n", "a", "A", "1", ".", "\u0301", "中", "\t", "' "])
def test_five_megabytes_of_one_sign_are_counted(sign):
    """tiktoken's regex overflows its stack on them: a panic that `except Exception` misses."""
    text = sign * (5_000_000 // len(sign))
    tokens = exact(text)
    assert 0 < tokens <= len(text)
    assert o200k_base().decode(token_ids(text)) == text


def test_a_long_message_of_blanks_is_shortened():
    short = middle_out(" " * 3_000_000, tokens=500, counter=TokenCounter())
    assert short is not None
    assert TokenCounter().text(short) <= 500


def test_the_usage_counter_takes_them_too():
    counter = ExactCounter()
    counter.wait_until_ready()
    assert counter(" " * 2_000_000) > 0


def test_pieces_tokenize_as_the_whole():
    words = [
        "the",
        "It's",
        "\n\n",
        "x_y",
        "1234",
        "…",
        "don't",
        "ÜBER",
        "中文",
        "  ",
        "\t",
        "a/b\n",
        "🙂",
    ]
    rng = random.Random(7)
    text = " ".join(rng.choice(words) for _ in range(60_000))
    assert token_ids(text) == o200k_base().encode_ordinary(text)


BOMB = """
import resource, sys, zstandard
from allotrope.models.cache.storage.codec import Codec, UnreadableEntryError
options = zstandard.ZstdCompressionParameters(write_content_size=DECLARED, window_log=17)
size = 1 << 30 if DECLARED else -1
maker = zstandard.ZstdCompressor(compression_params=options).compressobj(size)
data = b"".join([*(maker.compress(bytes(1 << 20)) for _ in range(1024)), maker.flush()])
assert len(data) < 150_000, len(data)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    Codec().unseal(Codec().seal(b"x")[:2] + bytes([1]) + data)
except UnreadableEntryError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("declared", [True, False])
def test_a_small_frame_in_the_cache_that_unpacks_to_a_gigabyte_is_a_miss(declared):
    done = subprocess.run(
        [sys.executable, "-c", BOMB.replace("DECLARED", str(declared))],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 100_000  # kilobytes; 1,000,000 before


def test_a_frame_that_lies_about_its_size_is_a_miss():
    import zstandard

    data = bytearray(zstandard.ZstdCompressor().compress(b"x" * 100_000))
    at = data.index(struct.pack("<I", 100_000))
    data[at : at + 4] = struct.pack("<I", 200_000)
    sealed = Codec().seal(b"x")[:2] + bytes([1]) + bytes(data)
    with pytest.raises(UnreadableEntryError):
        Codec().unseal(sealed)


def test_a_message_that_no_model_takes_is_refused_before_it_is_kept(simulator_settings, simulator):
    with build_agent("assistant", settings=simulator_settings) as agent:
        agent.ask("Hello", thread_id="t")
        for text in (" " * 30_000_000 + "x", "word " * 2_000_000):
            with pytest.raises(
                InputTooLongError, match=r"[\d,]+ (?:characters|tokens); the largest"
            ):
                agent.ask(text, thread_id="t")
        assert [one.text for one in agent.history("t")][:1] == ["Hello"]
        assert len(agent.history("t")) == 2
    assert len(simulator.chats()) == 1
