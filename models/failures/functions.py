"""What models are used for, and what becomes of it in an outage: a substitute, or a refusal.

Critical functions go on with whatever model answers, and say so. The others are refused with the
reason: a verdict of a tiny model in o3's place would look like o3's and be worth nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Function:
    """Something a model is asked for.

    Attributes:
        noun: What it is called in a sentence.
        critical: Whether local models may stand in.
        patient: Whether it waits, within the run's deadline, for a circuit that is to be tested
            again soon. Without, it is refused at once.
    """

    noun: str
    critical: bool
    patient: bool = True


FUNCTIONS: Mapping[str, Function] = {
    "answer": Function(noun="Answering", critical=True),
    "summarise": Function(noun="Summarising", critical=True),
    "judge": Function(noun="Judging answers", critical=False),
    "verify": Function(noun="Verifying a cached answer", critical=False, patient=False),
}
"""The functions of this runtime."""
