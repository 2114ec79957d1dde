"""Outputs of tools for `_truth_recall.py`: JSON, nested JSON, a log, CSV and a Markdown table.

Each has hundreds of items of one shape; a question asks for one value of one of them.
"""

import json
from random import Random
from typing import Any

_TOWNS = """
    Ghent Utrecht Porto Turku Brno Aarhus Leeds Cork Lyon Graz Split Tartu
    Gdynia Malmo Faro
""".split()  # noqa: SIM905 - a list of quoted words reads worse
_FIRST = """
    Ada Bo Cleo Dina Emil Fay Gus Hana Ivo Jun Kai Lea
    Mia Nils Ona Pia Quin Rui Sia Tom
""".split()  # noqa: SIM905 - a list of quoted words reads worse
_LAST = """
    Vos Keller Holt Sander Rey Brandt Okonkwo Adeyemi Castell Lind Moreau Novak
    Ito Haddad Petrov
""".split()  # noqa: SIM905 - a list of quoted words reads worse
Answered = tuple[str, str, str]
"""An output, a question about it, and the string that answers it."""


def outputs(held_out: bool) -> list[dict[str, Any]]:
    """Fifteen outputs, three of each shape."""
    shapes = (_flat, _nested, _log, _csv, _markdown)
    found = []
    for number in range(15):
        seed = number + (20 if held_out else 1)
        text, question, answer = shapes[number % 5](seed, Random(seed * 31 + 7))
        found.append({"text": text, "question": question, "answer": answer, "tool": True})
    return found


def _records(seed: int, count: int) -> list[dict[str, Any]]:
    random = Random(seed)
    return [
        {
            "id": 4000 + number * 7 + seed,
            "name": f"{random.choice(_FIRST)} {random.choice(_LAST)}",
            "city": random.choice(_TOWNS),
            "status": random.choice(["active", "paused", "closed"]),
            "balance": round(random.random() * 9000, 2),
            "phone": f"555-{random.randint(1000, 9999)}",
        }
        for number in range(count)
    ]


def _flat(seed: int, random: Random) -> Answered:
    rows = _records(seed, 140)
    one = rows[random.randint(40, 120)]
    text = json.dumps(rows, indent=random.choice([None, 2]))
    return text, f"What is the phone number of customer {one['id']}?", str(one["phone"])


def _nested(seed: int, random: Random) -> Answered:
    hosts = [
        {
            "host": f"web-{n:03d}",
            "net": {"ip": f"10.{seed}.{n // 50}.{n % 250}", "mac": f"02:00:{n:02x}:{seed:02x}"},
            "disks": [{"dev": dev, "freeGb": random.randint(1, 900)} for dev in ("sda", "sdb")],
            "owner": random.choice(_LAST),
        }
        for n in range(120)
    ]
    n = random.randint(30, 110)
    text = json.dumps({"region": "eu", "count": 120, "hosts": hosts})
    return text, f"Which ip does the host web-{n:03d} have?", f"10.{seed}.{n // 50}.{n % 250}"


def _log(seed: int, random: Random) -> Answered:
    lines, seconds, answer, pick = [], 0, "", random.randint(120, 260)
    for number in range(320):
        seconds += random.randint(1, 9)
        stamp = f"2026-05-08 {12 + seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        if number == pick:
            answer = f"E{seed}{random.randint(100, 999)}"
            what = f"ERROR payment worker gave up on order {8000 + seed}: code {answer}"
        elif number % 29 == 3:
            what = f"WARN slow query on table orders took {random.randint(900, 4000)} ms"
        else:
            order, town = random.randint(1000, 7999), random.choice(_TOWNS)
            what = f"INFO served /orders/{order} in {random.randint(3, 90)} ms to {town}"
        lines.append(f"{stamp} {what}")
    question = f"With which code did the payment worker give up on order {8000 + seed}?"
    return "\n".join(lines), question, answer


def _csv(seed: int, random: Random) -> Answered:
    rows = _records(seed + 50, 180)
    one = rows[random.randint(60, 150)]
    lines = [",".join(str(value) for value in row.values()) for row in rows]
    text = "\n".join([",".join(rows[0]), *lines])
    return text, f"What balance does row {one['id']} show in the table?", str(one["balance"])


def _markdown(seed: int, random: Random) -> Answered:
    rows = _records(seed + 90, 150)
    one = rows[random.randint(60, 130)]
    lines = ["| " + " | ".join(str(value) for value in row.values()) + " |" for row in rows]
    head = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    question = f"In which city is customer {one['id']} ({one['name']})?"
    return "\n".join([*head, *lines]), question, f"{one['city']} | {one['status']}"
