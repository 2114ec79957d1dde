"""A turn begins without the ledger's database library: it takes a third of a second to import."""

import subprocess
import sys
from pathlib import Path

_TURN = """
import sys
from allotrope.settings import load_settings
from allotrope.usage.assembly import from_settings

settings = load_settings(environ={}, env_file=None, data_dir=sys.argv[1])
(recorder,) = from_settings(settings)
from langchain_core.language_models import FakeListChatModel

heavy = {"sqlalchemy", "smtplib", "genai_prices"}
print("before the call:", sorted(heavy & {*sys.modules}))
FakeListChatModel(responses=["Hello"]).invoke("Hi", {"callbacks": [recorder]})
assert recorder.flush(120)
print("written:", recorder.stats.written, "sqlalchemy" in sys.modules)
"""


def test_a_turn_begins_without_the_database_library(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _TURN, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == ["before the call: []", "written: 1 True"], done.stderr


_UNDER_WAY = """
import sys, threading
from allotrope.settings import load_settings
from allotrope.usage.assembly import from_settings

(recorder,) = from_settings(load_settings(environ={}, env_file=None, data_dir=sys.argv[1]))
asked = threading.Event()
def noted(event, what):
    if event == "import" and what[0] == "genai_prices.data":
        asked.set()

sys.addaudithook(noted)
from uuid import uuid4
recorder.on_chat_model_start(None, [[]], run_id=uuid4())
print(asked.wait(100))
"""


def test_who_stops_a_call_doesnt_wait_for_the_price_list(tmp_path: Path) -> None:
    """The writer loads it while the call is under way, and not when the process wants to end."""
    done = subprocess.run(
        [sys.executable, "-c", _UNDER_WAY, str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "True\n", done.stderr
