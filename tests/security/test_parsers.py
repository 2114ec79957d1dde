"""Nothing that reads outside text is slow on 120,000 characters of anything.

Each of `readers.py` runs in a fork whose CPU seconds the kernel limits, as the expressions do.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.security.readers import readers

PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
import expressions, readers
from functools import partial
parsers = {name: partial(readers.outcome, read) for name, read in readers.readers().items()}
if sys.argv[2:]:
    parsers = {name: parsers[name] for name in sys.argv[2:]}
print(json.dumps(expressions.slow_parsers(parsers, cpu_s=5)))
"""


def slow(*names: str) -> dict[str, object]:
    """The readers that are slow, of those named or of all."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(Path(__file__).parent), *names],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_no_reader_is_slow_on_any_text() -> None:
    assert len(readers()) > 50
    assert slow() == {}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_days_and_blocks_and_negations_by_the_thousand() -> None:
    """Each day was laid beside each year, each block joined to all before it, and so on."""
    assert slow("recall.dates", "replies.files_of", "citations.check", "citations.passage") == {}
