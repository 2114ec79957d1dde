"""The embedded model's cache of earlier prompts is bounded: llama.cpp's own log says so."""

import subprocess
import sys

import pytest

TALKATIVE = """
import xllamacpp
quiet = xllamacpp.Server
def talkative(params):
    params.verbosity = 4
    return quiet(params)
xllamacpp.Server = talkative
from allotrope.models.providers.embedded import start_server
from allotrope.settings import load_settings
more = {"num_ctx": 512, **eval(__import__("sys").argv[1])}
start_server(load_settings(environ={}, env_file=None, embedded=more).embedded)
"""


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "prompt cache is enabled, size limit: 64 MiB"),
        ({"prompt_cache_mb": 0}, "prompt cache is disabled"),
        ({"prompt_cache_mb": 77}, "prompt cache is enabled, size limit: 77 MiB"),
    ],
)
def test_the_server_is_started_with_the_bound(settings: dict[str, int], said: str) -> None:
    command = [sys.executable, "-c", TALKATIVE, repr(settings)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert said in done.stdout + done.stderr
