"""Who calls, as a credential says it: what everything after the door goes by."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from allotrope.contracts import END_USER

_SPACE = re.compile(r"u[0-9a-f]{24}:")


@dataclass(frozen=True)
class Principal:
    """The owner of a credential, and what it may do.

    Args:
        id: Of the credential, for limits and logs: never the secret.
        tenant: Whose data; empty: the settings' tenant.
        user: Who it is. None only for operators, whose word on who asks is believed.
        agents: Names of the agents it may ask; None: all.
        tools: Names of the tools they may use for it; None: all they have.
        requests_per_minute: Turns it may begin; None: the settings' limit.
        allowance: A budget of its own, as `usage.budgets.allowance` reads it; empty: none.
        operator: Whether it sees everything: the dashboard, the metrics, all threads of the tenant.
    """

    id: str
    tenant: str = ""
    user: str | None = None
    agents: frozenset[str] | None = None
    tools: frozenset[str] | None = None
    requests_per_minute: int | None = None
    allowance: str = ""
    operator: bool = False

    def __post_init__(self) -> None:
        """Refuses one that is nobody: its threads would be everybody's."""
        if self.user is None and not self.operator:
            raise ValueError("only an operator has no user")

    def may_ask(self, agent: str) -> bool:
        """Whether it may ask an agent."""
        return self.agents is None or agent in self.agents

    def context(
        self, label: str | None = None, tools_allowed: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """What its runs carry: fields of `RunContext` that no client can change.

        Args:
            label: What the client calls its user. It tells apart the people behind one credential,
                and is below the credential's user: budgets and limits are that one's.
            tools_allowed: The tools a client asks for; it gets no more than the credential has.
        """
        found: dict[str, Any] = {"tenant": self.tenant} if self.tenant else {}
        user = self.user
        if label:
            user = label if user is None else f"{user}{END_USER}{label}"
        if user:
            found["user"] = user
        if self.allowance:
            found["allowance"] = self.allowance
        if self.tools is not None:
            asked = self.tools if tools_allowed is None else self.tools & set(tools_allowed)
            found["tools_allowed"] = sorted(asked)
        elif tools_allowed is not None:
            found["tools_allowed"] = list(tools_allowed)
        return found

    @property
    def space(self) -> str:
        """What its threads' ids begin with in our stores; empty for operators."""
        if self.operator or self.user is None:
            return ""
        return f"u{hashlib.sha256(self.user.encode()).hexdigest()[:24]}:"

    def thread(self, name: str) -> str:
        """The id under which a thread of its own is kept.

        Args:
            name: What the client calls it.
        """
        return self.space + name

    def name(self, thread: str) -> str:
        """What the client calls a thread.

        Args:
            thread: The id under which it is kept.
        """
        return thread.removeprefix(self.space)

    def owns(self, thread: str) -> bool:
        """Whether a thread of its tenant is listed for it.

        Args:
            thread: The id under which it is kept.
        """
        space = _SPACE.match(thread)
        return (space[0] if space else "") == self.space


OPERATOR = Principal("token", operator=True)
"""Who has the server's own token: the person who runs it."""

ANYBODY = Principal("anybody", operator=True)
"""Whoever calls a server that asks for no token."""
