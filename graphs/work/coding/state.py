"""What the coder's graph works on."""

from typing import Any, NotRequired

from allotrope.graphs.state import AgentOutput, AgentState


class CoderState(AgentState):
    """What the coder works on.

    Attributes:
        files: The code as it is, by name; they stay for the next question of the thread.
        before: The files as they were when the turn began.
        yours: The user's own files as they were read, by name.
        root: The folder that the user's files lie in.
        first_tests: Tests as they were first written, by file; what a repair takes away is said.
        outcome: What the last run came to, with its proof.
        allowed: Whether running was allowed: `no`, `once` (this turn) or `always` (this thread).
        declined: Whether a person said no.
        reading: How a person's last answer was taken.
        said: That answer, where it is a wish or a question.
        note: What the next question to a person begins with.
        repairs: How often code went back.
        trouble: Why it can't go on, as a sentence.
        notes: What else the report says, a sentence each.
        origin: Where the code came from.
        saved: Files that were written.
    """

    files: NotRequired[dict[str, str]]
    before: NotRequired[dict[str, str]]
    yours: NotRequired[dict[str, str]]
    root: NotRequired[str]
    first_tests: NotRequired[dict[str, str]]
    outcome: NotRequired[dict[str, Any]]
    allowed: NotRequired[str]
    declined: NotRequired[bool]
    reading: NotRequired[str]
    said: NotRequired[str]
    note: NotRequired[str]
    repairs: NotRequired[int]
    trouble: NotRequired[str]
    notes: NotRequired[list[str]]
    origin: NotRequired[dict[str, Any]]
    saved: NotRequired[list[str]]


class CoderOutput(AgentOutput):
    """What a run ends with."""

    files: NotRequired[dict[str, str]]
    outcome: NotRequired[dict[str, Any]]
    saved: NotRequired[list[str]]
