"""`allotrope chat`: what stands in the terminal."""

from allotrope.testing import ProviderSimulator

CODE = (
    "```python\n# solution.py\ndef one() -> int:\n    return 1\n```\n"
    "```python\n# test_solution.py\nfrom solution import one\n\n"
    "def test_one():\n    assert one() == 1\n```"
)


def test_the_coders_question_is_shown(cli, simulator: ProviderSimulator) -> None:
    simulator.script([CODE])
    ran = cli("chat", "coder", stdin=b"Write one().\n")
    assert ran.code == 0, ran.err
    assert "Run this code?" in ran.out
    assert "def one() -> int:" in ran.out


def test_an_answer_that_was_streamed_stands_once(cli, simulator: ProviderSimulator) -> None:
    simulator.script(["One two three."])
    ran = cli("chat", "assistant", stdin=b"Count.\n")
    assert ran.out.count("One two three.") == 1
