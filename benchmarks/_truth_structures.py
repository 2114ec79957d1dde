"""Long outputs with structure for `_truth_recall.py`: an answer stands far from what names it.

JSON with the same keys on several levels, log records of several lines, stack traces, wide tables,
YAML, CSV with quoted cells, code. Each has hundreds of items; a question asks for one value.
"""

import csv
import io
import json
from collections.abc import Callable
from random import Random
from typing import Any

_NAMES = """
    alder birch cedar dogwood elm fir gingko hazel ivy juniper kapok larch maple nutmeg olive
    pine quince rowan spruce teak umbra vine willow yew zelkova
""".split()  # noqa: SIM905 - a list of quoted words reads worse
_PEOPLE = """
    Ada Bo Cleo Dina Emil Fay Gus Hana Ivo Jun Kai Lea Mia Nils Ona Pia Quin Rui Sia Tom Uma Vito
""".split()  # noqa: SIM905 - as above
_WORDS = """
    queue ledger basket parcel tariff shelf badge ticket voucher locker crane ferry engine valve
    boiler meter signal barrier gate depot
""".split()  # noqa: SIM905 - as above
Answered = tuple[str, str, str]
"""An output, a question about it, and the string that answers it."""


def structures(held_out: bool) -> dict[str, list[dict[str, Any]]]:
    """Fifteen outputs of each kind."""
    made: dict[str, list[dict[str, Any]]] = {}
    for kind, make in KINDS.items():
        rows = []
        for number in range(15):
            seed = number + (500 if held_out else 100)
            text, question, answer = make(Random(f"{kind} {seed}"))
            rows.append({"text": text, "question": question, "answer": answer, "tool": True})
        made[kind] = rows
    return made


def _nested(random: Random) -> Answered:
    teams = []
    for name in random.sample(_NAMES, 20):
        members = [
            {
                "name": person,
                "role": random.choice(["lead", "clerk", "driver"]),
                "contact": {
                    "phone": f"555-{random.randint(1000, 9999)}",
                    "desk": {"floor": random.randint(1, 9), "number": random.randint(100, 999)},
                },
            }
            for person in random.sample(_PEOPLE, 9)
        ]
        teams.append({"team": name, "members": members, "budget": {"total": random.randint(1, 99)}})
    team = random.choice(teams[4:])
    one = random.choice(team["members"])
    text = json.dumps({"teams": teams}, indent=random.choice([None, 2]))
    if random.random() < 0.5:
        question = f"What is the phone of {one['name']} in team {team['team']}?"
        return text, question, one["contact"]["phone"]
    question = f"Which desk number has {one['name']} of the team {team['team']}?"
    return text, question, str(one["contact"]["desk"]["number"])


def _records(random: Random) -> Answered:
    picked, answer, order = random.randint(40, 90), "", 0
    parts = []
    for number in range(110):
        level = random.choice(["INFO", "INFO", "WARN", "ERROR"])
        mine = random.randint(10_000, 99_999)
        cause = f"{random.choice(_WORDS)}-{random.randint(100, 999)}"
        parts.append(
            f"2026-05-0{1 + number % 8} 1{number % 10}:{number % 60:02d}:07,{number:03d} {level}"
            f" [worker-{number % 7}] order {mine} was handed back\n"
            f"    attempt: {random.randint(1, 5)}\n    region: {random.choice(_NAMES)}\n"
            f"    cause: {cause}\n    elapsed: {random.randint(3, 900)} ms"
        )
        if number == picked:
            order, answer = mine, cause
    return "\n".join(parts), f"What was the cause that order {order} was handed back?", answer


def _traces(random: Random) -> Answered:
    picked, answer, job = random.randint(8, 22), "", 0
    kinds = ["KeyError", "ValueError", "TimeoutError", "TypeError", "OSError"]
    parts = []
    for number in range(26):
        mine = random.randint(1000, 9999)
        file = f"{random.choice(_WORDS)}_{random.choice(_NAMES)}.py"
        line = random.randint(20, 900)
        frames = "".join(
            f'  File "/srv/app/{random.choice(_NAMES)}/{random.choice(_WORDS)}.py", line'
            f" {random.randint(1, 400)}, in {random.choice(_WORDS)}\n    return self.next(item)\n"
            for _ in range(random.randint(3, 6))
        )
        parts.append(
            f"2026-05-08 11:{number:02d}:19 ERROR job {mine} failed\n"
            f"Traceback (most recent call last):\n{frames}"
            f'  File "/srv/app/{file}", line {line}, in handle\n'
            f"    raise {kinds[number % 5]}(key)\n"
            f"{kinds[number % 5]}: '{random.choice(_WORDS)}'"
        )
        parts.append(f"2026-05-08 11:{number:02d}:20 INFO job {mine} was queued again")
        if number == picked:
            job, answer = mine, f'{file}", line {line}'
    return (
        "\n".join(parts),
        f"In which file and line was the error raised when job {job} failed?",
        answer,
    )


def _wide(random: Random) -> Answered:
    columns = [f"{word}_{what}" for word in _WORDS for what in ("cost", "count")]
    random.shuffle(columns)
    head = ["store", *columns]
    rows = [
        [f"S-{n:03d}", *(str(random.randint(1_000, 99_999)) for _ in columns)] for n in range(60)
    ]
    row, at = random.choice(rows[10:]), random.randint(8, len(columns) - 1)
    if random.random() < 0.5:
        lines = [",".join(cells) for cells in (head, *rows)]
    else:
        rule = "|" + "---|" * len(head)
        lines = ["| " + " | ".join(head) + " |", rule]
        lines += ["| " + " | ".join(cells) + " |" for cells in rows]
    words = head[at].replace("_", " ")
    return "\n".join(lines), f"What is the {words} of store {row[0]}?", row[at]


def _yaml(random: Random) -> Answered:
    picked, parts = random.randint(6, 24), []
    question = answer = ""
    for number, name in enumerate(random.sample([f"{a}-{b}" for a in _NAMES for b in _WORDS], 30)):
        memory = random.choice([64, 128, 192, 256, 384, 512, 768]) + random.randint(1, 9)
        image = (
            f"registry/{name.split('-')[1]}:{random.randint(1, 9)}.{random.randint(0, 99)}.{number}"
        )
        parts.append(
            f"- name: {name}\n  kind: deployment\n  labels:\n    tier: {random.choice(_NAMES)}\n"
            f"    owner: {random.choice(_PEOPLE).lower()}\n  spec:\n"
            f"    replicas: {random.randint(1, 9)}\n"
            f"    containers:\n      - image: {image}\n        resources:\n          limits:\n"
            f"            memory: {memory}Mi\n            cpu: {random.randint(100, 900)}m\n"
            f"        env:\n          - name: LEVEL\n            value: {random.choice(_WORDS)}"
        )
        if number == picked:
            asked = random.choice([("memory limit", f"{memory}Mi"), ("image", image)])
            question, answer = f"Which {asked[0]} does the deployment {name} have?", asked[1]
    return "services:\n" + "\n".join(parts), question, answer


def _csv(random: Random) -> Answered:
    rows, question, answer = [], "", ""
    picked = random.randint(30, 110)
    for number in range(140):
        ticket, owner = random.randint(10_000, 99_999), random.choice(_PEOPLE)
        code = f"{random.choice(_NAMES)}-{random.randint(10, 99)}"
        note = f"The {random.choice(_WORDS)}, as {owner} said,\n"
        note += f'is "late"; see {random.choice(_WORDS)}.'
        rows.append([ticket, owner, note, random.choice(_WORDS), code])
        if number == picked:
            question, answer = f"Which release code has ticket {ticket}?", code
    out = io.StringIO()
    csv.writer(out).writerows([["ticket", "owner", "note", "area", "release_code"], *rows])
    return out.getvalue(), question, answer


def _code(random: Random) -> Answered:
    parts, question, answer = ["import time\n"], "", ""
    picked = random.randint(10, 40)
    for number, name in enumerate(random.sample([f"{a}_{b}" for a in _WORDS for b in _NAMES], 55)):
        limit = random.randint(1_000, 99_999)
        parts.append(
            f"def {name}(items, *, retries={random.randint(1, 9)}):\n"
            f'    """Handles the {name.split("_")[1]} of each {name.split("_")[0]}."""\n'
            f"    found = []\n    for item in items:\n        if item.size > {limit}:\n"
            f"            raise ValueError(item)\n        found.append(item)\n"
            f"    time.sleep({random.randint(1, 60)})\n    return found\n"
        )
        if number == picked:
            question, answer = (
                f"Above which size does the function {name} raise an error?",
                str(limit),
            )
    return "\n\n".join(parts), question, answer


KINDS: dict[str, Callable[[Random], Answered]] = {
    "nested JSON": _nested,
    "log records": _records,
    "stack traces": _traces,
    "wide tables": _wide,
    "YAML": _yaml,
    "CSV with quoted cells": _csv,
    "source code": _code,
}
