"""What an audit's run will do: questions and troubles, all of them drawn from one seed."""

import random
import re
from dataclasses import dataclass

TENANTS = ("acme", "globex")
"""Served by every door; a word of each stands in its questions and nowhere else."""

SPENDER = "initech"
"""A third tenant, whose budget is too small for what it asks."""

WORDS = {name: f"{name}-word-{mark}" for name, mark in zip(TENANTS, ("7391", "2864"), strict=True)}
WORDS[SPENDER] = f"{SPENDER}-word-5127"

TOKEN = re.compile(r"\[(q[0-9]+-[0-9]+|shared-[0-9]+)\]")
"""The mark of a question."""

ANSWERED = re.compile(r"<(q[0-9]+-[0-9]+|shared-[0-9]+) n([0-9]+)>")
"""The mark of an answer: its question's, and which request of the provider it answered."""

WORKER_WAYS = ("aask", "astream", "ask", "stream", "leave")
"""Through `Agent`, in a process of its own; `leave` stops reading after the first words."""

SERVE_WAYS = ("plain", "sse", "page", "hang_up")
"""Through `allotrope serve`; `hang_up` closes the connection after the first words."""

KINDS = (
    "kill worker", "kill serve", "pause worker", "pause serve", "restart redis", "pause redis",
    "fill disk", "openai down", "all models down",
)  # fmt: skip
POSTGRES_KINDS = ("restart postgres", "cut postgres")


@dataclass(frozen=True)
class Question:
    """One turn; `shared` questions are asked in the same words by several tenants."""

    token: str
    text: str
    door: str
    way: str

    @property
    def shared(self) -> bool:
        """Whether others ask it too."""
        return self.token.startswith("shared")


@dataclass(frozen=True)
class Conversation:
    """A thread and what is asked in it; in a crowd all at once, else one after the other."""

    thread: str
    tenant: str
    user: str
    crowd: bool
    budget: int | None
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class Trouble:
    """What goes wrong when such a share of the questions has ended, and for how many seconds."""

    at: float
    kind: str
    seconds: float
    target: int


@dataclass(frozen=True)
class Plan:
    """All of a run on one kind of store."""

    seed: int
    store: str
    conversations: tuple[Conversation, ...]
    troubles: tuple[Trouble, ...]

    @property
    def questions(self) -> int:
        """How many there are."""
        return sum(len(one.questions) for one in self.conversations)

    def asked_by(self, tenant: str) -> int:
        """How many questions a tenant asks."""
        return sum(len(one.questions) for one in self.conversations if one.tenant == tenant)


def make_plan(seed: int, store: str, *, conversations: int, workers: int = 2) -> Plan:
    """Draws a run; the same arguments give the same run.

    Args:
        seed: Of all chance.
        store: `sqlite` or `postgres`.
        conversations: How many.
        workers: Processes that hold an `Agent`.
    """
    chance = random.Random(f"{seed} {store}")
    made = [_conversation(chance, number, workers) for number in range(conversations)]
    kinds = [*KINDS, *(POSTGRES_KINDS if store == "postgres" else ())]
    rounds = max(1, conversations // 150)
    planned = [kind for _ in range(rounds) for kind in chance.sample(kinds, len(kinds))]
    troubles = [
        Trouble(
            at=0.05 + 0.9 * number / len(planned),
            kind=kind,
            seconds=chance.uniform(0.3, 1.5 if conversations < 100 else 2.5),
            target=chance.randrange(64),
        )
        for number, kind in enumerate(planned)
    ]
    return Plan(seed, store, tuple(made), tuple(troubles))


def _conversation(chance: random.Random, number: int, workers: int) -> Conversation:
    tenant = SPENDER if chance.random() < 0.12 else chance.choice(TENANTS)
    long = chance.random() < 0.05
    turns = chance.randint(8, 12) if long else chance.choice((1, 1, 2, 2, 3, 4))
    questions = [_question(chance, number, turn, tenant, workers) for turn in range(turns)]
    if turns == 1 and tenant != SPENDER:
        which = chance.randrange(6)
        text = f"[shared-{which}] What is the colour of house number {which}?"
        questions = [Question(f"shared-{which}", text, *_door(chance, tenant, workers))]
    return Conversation(
        thread=f"{tenant}-{number}",
        tenant=tenant,
        user=f"{tenant}-user-{chance.randrange(4)}",
        crowd=chance.random() < 0.4 and not long,
        budget=1500 if long else None,
        questions=tuple(questions),
    )


def _question(chance: random.Random, number: int, turn: int, tenant: str, workers: int) -> Question:
    token = f"q{number}-{turn}"
    filler = " ".join(chance.choices(("red", "green", "old", "new", "house", "river"), k=8))
    text = f"[{token}] Our word is {WORDS[tenant]}. What of the {filler}?"
    if turn and chance.random() < 0.15:
        text += " Look it up in your memory first."
    return Question(token, text, *_door(chance, tenant, workers))


def _door(chance: random.Random, tenant: str, workers: int) -> tuple[str, str]:
    if tenant == SPENDER or chance.random() < 0.5:
        return f"worker{chance.randrange(workers)}", chance.choice(WORKER_WAYS)
    return f"serve-{tenant}", chance.choice(SERVE_WAYS)
