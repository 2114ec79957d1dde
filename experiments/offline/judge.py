"""The pairwise judge: a model says which of two answers is better, asked both ways round."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from langchain_core.messages import BaseMessage

from allotrope.experiments.dataset import Item
from allotrope.experiments.offline.outcome import Outcome
from allotrope.experiments.stats.statistics import kappa
from allotrope.prompts import open_library
from allotrope.prompts.template import PromptTemplateVersion
from allotrope.settings import Settings

Verdict = Literal["first", "second", "tie"]


@dataclass(frozen=True)
class Said:
    """What a judging model said.

    Args:
        text: Its reply.
        cost_usd: USD; None where no price is known.
    """

    text: str
    cost_usd: Decimal | None = Decimal(0)


Ask = Callable[[Sequence[BaseMessage]], Awaitable["Said | str"]]
"""Sends a prompt to the judging model; a plain text counts as free."""

TEMPLATE = "judge"
"""The template whose live version judges."""

_BETTER = re.compile(r'"better"\s*:\s*"\s*(A|B|TIE)\s*"', re.IGNORECASE)
_VERDICT = re.compile(r"\[\[\s*(A|B|C|TIE)\s*\]\]", re.IGNORECASE)
_LONE = re.compile(r"^\W*(A|B|tie)\W*$", re.IGNORECASE)


@dataclass(frozen=True)
class Judgement:
    """What both rounds said.

    Args:
        score: 1 where the variant's answer is better, 0 where the control's is, else 0.5.
        first: The verdict when the variant's answer stood first: variant, control or tie.
        second: The verdict when it stood second.
        cost_usd: USD for both rounds; None where a price is unknown.
    """

    score: float
    first: str
    second: str
    cost_usd: Decimal | None = Decimal(0)

    @property
    def agreed(self) -> bool:
        """Whether swapping the answers left the verdict as it was."""
        return self.first == self.second


@dataclass(frozen=True)
class PairwiseJudge:
    """Compares a variant's answer with the control's.

    A judge tends to prefer a place (Zheng et al., "Judging LLM-as-a-Judge", NeurIPS 2023, report
    agreement between both orders of 24 % to 65 %). So each pair is judged in both orders, and only
    a verdict that survives the swap counts; the rest are ties.

    Args:
        ask: The judging model.
        template: A version of the template `judge`.
        rubric: What makes an answer better; default: the template's criteria.
    """

    ask: Ask
    template: PromptTemplateVersion
    rubric: str | None = None

    async def compare(self, item: Item, *, variant: str, control: str) -> Judgement:
        """Judges one pair in both orders.

        Args:
            item: The question, with the reference answer if there is one.
            variant: The variant's answer.
            control: The control's answer.
        """
        if variant.strip() == control.strip():
            return Judgement(0.5, "tie", "tie")
        said = [
            _said(await self.ask(self.prompt(item, *pair)))
            for pair in ((variant, control), (control, variant))
        ]
        one, two = (parse_verdict(each.text) for each in said)
        costs = [each.cost_usd for each in said if each.cost_usd is not None]
        cost = sum(costs, Decimal(0)) if len(costs) == len(said) else None
        first = {"first": "variant", "second": "control", "tie": "tie"}[one]
        second = {"first": "control", "second": "variant", "tie": "tie"}[two]
        score = {"variant": 1.0, "control": 0.0, "tie": 0.5}[first] if first == second else 0.5
        return Judgement(score, first, second, cost)

    def prompt(self, item: Item, first: str, second: str) -> list[BaseMessage]:
        """What the judging model gets; question, reference and answers are fenced as data.

        Args:
            item: The question.
            first: The answer that stands first.
            second: The other.
        """
        values = {"question": item.question, "answer_a": first, "answer_b": second}
        if item.expected:
            values["reference"] = item.expected
        if self.rubric:
            values["criteria"] = self.rubric
        return self.template.render_untrusted(values)


def live_template(settings: Settings | None = None) -> PromptTemplateVersion:
    """The version of the template `judge` that is live now.

    Args:
        settings: Where prompts are; default: the packaged ones.

    Raises:
        PromptError: There is none, or it is broken.
    """
    library = open_library(settings or Settings())
    try:
        return library.get(TEMPLATE)
    finally:
        library.close()


def by_failure(variant: Outcome, control: Outcome) -> Judgement | None:
    """The judgement that no model is needed for: a failed answer loses; None where both answered.

    Args:
        variant: The variant's answer.
        control: The control's.
    """
    lost = (variant.error is not None, control.error is not None)
    if lost == (False, False):
        return None
    score, verdict = {
        (True, True): (0.5, "tie"),
        (True, False): (0.0, "control"),
        (False, True): (1.0, "variant"),
    }[lost]
    return Judgement(score, verdict, verdict)


def _said(reply: "Said | str") -> Said:
    return Said(reply) if isinstance(reply, str) else reply


def parse_verdict(text: str) -> Verdict:
    """The verdict in a judge's reply: its JSON's `better`, or `[[A]]`; without one it is a tie.

    Args:
        text: The reply.
    """
    found = _BETTER.findall(text) or _VERDICT.findall(text)
    word = found[-1].upper() if found else ""
    if not word and (lone := _LONE.match(text)):
        word = lone.group(1).upper()
    verdicts: dict[str, Verdict] = {"A": "first", "B": "second"}
    return verdicts.get(word, "tie")


def agreement(judgements: Sequence[Judgement]) -> tuple[float, float | None]:
    """How far a judge can be trusted: share of verdicts that survive the swap, and Cohen's kappa.

    Args:
        judgements: Of one experiment.
    """
    if not judgements:
        return float("nan"), None
    share = sum(judgement.agreed for judgement in judgements) / len(judgements)
    return share, kappa([j.first for j in judgements], [j.second for j in judgements])
