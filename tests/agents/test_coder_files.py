"""The coder on the user's own files, its tests that stay as they were, and what people answer."""

import subprocess
from pathlib import Path

import pytest
from langgraph.types import Command

from allotrope.agents import registry
from allotrope.agents.agent import Agent
from allotrope.settings import Settings
from allotrope.testing import ProviderSimulator

ADD = "def add(a, b):\n    return a + b\n"
TEST = "from calc import add\n\ndef test_add():\n    assert add(1, 2) == 3\n"
FREE = {"coder_approval": False, "coder_isolation": False, "code_timeout_s": 10}


def blocks(**files: str) -> str:
    named = {name.replace("__", "/").replace("_py", ".py"): text for name, text in files.items()}
    return "\n".join(f"```python\n# {name}\n{text}```" for name, text in named.items())


def last(state) -> str:
    return state["messages"][-1].text


def test_a_named_file_is_repaired_in_a_copy(bench, tmp_path: Path) -> None:
    wrong = ADD.replace("a + b", "a - b").replace("\n", "\r\n")
    (tmp_path / "calc.py").write_bytes(wrong.encode())
    (tmp_path / "test_calc.py").write_text(TEST)
    run = bench("coder", [blocks(calc_py=ADD)], **FREE)
    state = run.ask("Please fix calc.py")
    assert last(state).startswith("The tests pass (1 passed")
    assert "return a - b" in run.prompts()[0]
    assert "def test_add" in run.prompts()[0], "its test is read too"
    assert "# calc.py" not in last(state)
    assert (tmp_path / "calc.py").read_bytes().decode() == wrong, "theirs stays as it is"
    patch = next(path for path in state["saved"] if path.endswith("changes.diff"))
    assert f"git apply {patch}" in last(state)
    subprocess.run(["git", "apply", patch], cwd=tmp_path, check=True)
    assert (tmp_path / "calc.py").read_bytes().decode() == ADD.replace("\n", "\r\n")


def test_a_folder_with_a_conftest_of_its_own(bench, tmp_path: Path) -> None:
    app = tmp_path / "app"
    (app / "tests").mkdir(parents=True)
    (app / "calc.py").write_text(ADD.replace("+", "-"))
    (app / "conftest.py").write_text(
        "import pytest\n\ndef pytest_configure(config): config.x = 3\n\n"
        "@pytest.fixture\ndef three(request): return request.config.x\n"
    )
    (app / "tests" / "test_calc.py").write_text(
        TEST.replace("():", "(three):").replace("3", "three")
    )
    state = bench("coder", [blocks(calc_py=ADD)], **FREE).ask("The tests in app/ fail.")
    assert last(state).startswith("The tests pass")
    names = [Path(path).name for path in state["saved"]]
    assert names == ["calc.py", "changes.diff"]


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("Fix ../outside.py", "outside the folders"),
        ("Fix .hidden/a.py", "hidden"),
        ("Fix data.py", "binary"),
    ],
)
def test_what_cant_be_read_is_named(bench, tmp_path: Path, question: str, words: str) -> None:
    (tmp_path.parent / "outside.py").write_text("x = 1\n")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "a.py").write_text("x = 1\n")
    (tmp_path / "data.py").write_bytes(b"\0\1\2")
    run = bench("coder", [], **FREE)
    assert words in last(run.ask(question))
    assert not run.model.calls


def test_a_name_that_leads_nowhere_is_said(bench) -> None:
    reply = blocks(calc_py=ADD, test_calc_py=TEST)
    assert "There was no `calc.py`; it is new." in last(
        bench("coder", [reply], **FREE).ask("Fix calc.py")
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (TEST.replace("== 3", "== -1"), "In `test_calc.py`, `test_add` was changed."),
        ("from calc import add\n\ndef test_more():\n    assert add(2, 2) == 0\n", "was removed"),
    ],
)
def test_a_repair_that_takes_from_tests_is_shown(bench, change: str, words: str) -> None:
    wrong = ADD.replace("+", "-")
    run = bench(
        "coder", [blocks(calc_py=wrong, test_calc_py=TEST), blocks(test_calc_py=change)], **FREE
    )
    state = run.ask("Write add.")
    assert words in last(state)
    assert "The tests pass" not in last(state)
    assert len(run.model.calls) == 2, "whether that was right is a person's to say"


def test_tests_that_prove_nothing_go_back(bench) -> None:
    weak = TEST.replace("assert add(1, 2) == 3", "assert add")
    run = bench(
        "coder", [blocks(calc_py=ADD, test_calc_py=weak), blocks(test_more_py=TEST)], **FREE
    )
    state = run.ask("Write add.")
    assert last(state).startswith("The tests pass (2 passed")
    assert "No test calls `add`" in run.prompts()[1]


def test_a_conftest_that_does_more_than_give_fixtures_is_left_out(bench) -> None:
    hook = "def pytest_collection_modifyitems(items):\n    items.clear()\n"
    reply = blocks(calc_py=ADD, test_calc_py=TEST, conftest_py=hook)
    state = bench("coder", [reply], coder_repairs=0, **FREE).ask("Write add.")
    assert last(state).startswith("The tests pass (1 passed")
    assert "`conftest.py` was left out of the run" in last(state)


def test_prose_instead_of_a_repair_hides_no_output(bench) -> None:
    wrong = blocks(calc_py=ADD.replace("+", "-"), test_calc_py=TEST)
    run = bench("coder", [wrong, "I can't see why."], coder_repairs=1, **FREE)
    answer = last(run.ask("Write add."))
    assert "tests fail (0 passed, 1 failed)" in answer
    assert "assert -1 == 3" in answer


def test_other_languages_are_files_and_not_run(bench) -> None:
    run = bench("coder", ["`schema.sql`:\n```sql\nCREATE TABLE t (a int);\n```"], **FREE)
    state = run.ask("Write a schema.")
    assert "only Python runs here" in last(state)
    assert [Path(path).name for path in state["saved"]] == ["schema.sql"]


def test_packages_that_may_not_be_imported_are_named(bench) -> None:
    reply = blocks(calc_py="import leftpad\n" + ADD, test_calc_py=TEST)
    run = bench("coder", [reply], coder_repairs=0, **FREE)
    assert "may not import `leftpad`" in last(run.ask("Write add."))
    assert "numpy" in run.prompts()[0], "what may be imported stands in the prompt"


def test_a_wish_is_worked_in_and_a_question_answered(bench) -> None:
    good = blocks(calc_py=ADD, test_calc_py=TEST)
    total = blocks(calc_py=ADD.replace("add", "total"), test_calc_py=TEST.replace("add", "total"))
    run = bench("coder", [good, "It adds two numbers.", total], coder_approval=True)
    run.ask("Write add.")

    def say(text: str):
        return run.graph.invoke(Command(resume=text), run.config)

    asked = [
        say("wait, what does it do?"),
        say("hmm"),
        say("not yet"),
        say("call it total instead"),
    ]
    notes = [state["__interrupt__"][0].value["note"] for state in asked]
    assert notes[0] == "It adds two numbers."
    assert "can't tell" in notes[1]
    assert "waits" in notes[2]
    assert "def total" in asked[3]["__interrupt__"][0].value["files"]["calc.py"]
    assert "call it total instead" in run.prompts()[2]
    assert last(say("sure, go ahead")).startswith("The tests pass")
    assert len(run.model.calls) == 3


def test_the_reply_says_that_a_person_is_asked(
    simulator: ProviderSimulator,
    simulator_settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    simulator.script([blocks(calc_py=ADD, test_calc_py=TEST)])
    with Agent(registry.find("coder"), simulator_settings) as agent:
        reply = agent.ask("Write add.", thread_id="t")
        assert reply.asks == {
            "question": "Run this code?",
            "answers": ["yes", "always", "no"],
            "files": ["calc.py", "test_calc.py"],
        }
        assert reply.files == ()
        assert "Or say what to change" in reply.answer
        reply = agent.ask("yes please", thread_id="t")
        assert reply.asks is None
        assert [Path(path).name for path in reply.files] == ["calc.py", "test_calc.py"]


def test_files_of_an_older_editor_and_an_empty_new_one(bench, tmp_path: Path) -> None:
    """cp1252, Windows line ends, a blank in the name: the patch fits."""
    old = "# Zähler\r\ndef one():\n    return 2\r\n".encode("cp1252")
    (tmp_path / "my count.py").write_bytes(old)
    test = (
        "import importlib\none = importlib.import_module('my count').one\n\n"
        "def test_one():\n    assert one() == 1\n"
    )
    (tmp_path / "test_count.py").write_text(test)
    reply = (
        "```python\n# my count.py\n# Zähler\ndef one():\n    return 1\n```\n"
        "```python\n# pkg/__init__.py\n```"
    )
    state = bench("coder", [reply], **FREE).ask("Fix 'my count.py', test_count.py is right")
    assert last(state).startswith("The tests pass (1 passed")
    patch = next(path for path in state["saved"] if path.endswith("changes.diff"))
    subprocess.run(["git", "apply", patch], cwd=tmp_path, check=True)
    assert (tmp_path / "my count.py").read_bytes() == old.replace(b"2", b"1")
    assert (tmp_path / "pkg" / "__init__.py").is_file()
