"""What is learnt of models here: refusals, what they don't take, and the provider's list."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Reason = Literal["retired", "refused", "date"]
"""Why a model no longer serves: the provider says that it has ended, the provider says that it
doesn't exist or may not be used, or its announced end has come."""


class _Fact(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Gone(_Fact):
    """A refusal that means: this model no longer serves.

    Attributes:
        reason: `retired` or `refused`.
        at: When it was first refused.
        said: The provider's words, cut short.
    """

    reason: Reason
    at: datetime
    said: str = ""


class Repair(_Fact):
    """One thing of a request that a model didn't take, and what is sent since then.

    Attributes:
        parameter: Its name, such as `reasoning_effort`; `endpoint` for the API itself.
        refused: The value that was refused; None: every value.
        value: What is sent in its place; None: nothing.
        at: When it was learnt.
        said: The provider's words, cut short.
    """

    parameter: str
    refused: Any = None
    value: Any = None
    at: datetime
    said: str = ""

    def sentence(self, model: str) -> str:
        """What was changed, for people."""
        if self.parameter == "endpoint":
            return f"{model} is asked by the {self.value} API, as the provider says."
        shown = self.parameter if self.refused is None else f"{self.parameter} {self.refused}"
        if self.value is None:
            return f"{model} takes no {shown}; it was left out."
        return f"{model} takes no {shown}; {self.value} was sent."


class ModelNote(_Fact):
    """What is known of one model here.

    Attributes:
        gone: Its refusal, where it was refused.
        repairs: What it doesn't take.
        tried: When it first answered here.
    """

    gone: Gone | None = None
    repairs: tuple[Repair, ...] = ()
    tried: datetime | None = None


class Listing(_Fact):
    """The provider's own list of models.

    Attributes:
        at: When it was asked.
        models: By name: `YYYY-MM-DD`, None where no end is announced, `""` where the list says
            nothing of ends.
        clock_offset_s: The provider's clock less ours, in seconds.
        problems: What couldn't be read, for people.
    """

    at: datetime
    models: Mapping[str, str | None] = {}
    clock_offset_s: float = 0.0
    problems: tuple[str, ...] = ()


class NotesDocument(_Fact):
    """Everything that is kept for one account at one address."""

    listing: Listing | None = None
    models: Mapping[str, ModelNote] = {}
