"""The checks of the audit: pure functions from what was seen to the violations in it."""

from collections import Counter
from collections.abc import Iterable, Sequence

from _audit_facts import Asked, Booked, Facts, Heard, Span
from _audit_plan import ANSWERED, SPENDER, TOKEN, WORDS

FLUSH_S = 1.0
"""What the ledger of a killed process may lack: the calls that ended in its last second."""

LATEST_S = 5.0
"""So much later than the provider sent it an answer may have come."""

SETTLED_S = 2.0
"""After so many seconds every process knows that a budget is used up."""

CHECKS = {
    "once": "questions not in their thread exactly once",
    "answers": "answers to another question",
    "tenants": "words that crossed a tenant",
    "ledger": "calls on which ledger and provider differ",
    "budgets": "calls over a budget",
    "keys": "places with a key",
    "ends": "turns without an end, or with an unclear error",
}


def violations(facts: Facts) -> dict[str, list[str]]:
    """Each check's violations, in sentences."""
    return {
        "once": not_once(facts),
        "answers": wrong_answers(facts),
        "tenants": crossed(facts),
        "ledger": ledger_differs(facts),
        "budgets": over_budget(facts),
        "keys": [f"a key stands in {place}" for place in facts.keys],
        "ends": without_end(facts),
    }


def not_once(facts: Facts) -> list[str]:
    """Questions that were accepted and are missing, or stand twice.

    Accepted: it was answered, the door said that it is kept, or a provider was asked with it.
    Who asks again after an answer that never arrived asks anew: between the two stands an answer.
    """
    at_provider = {token for one in facts.asked for token in one.questions}
    held = {(one.tenant, one.name): one.messages for one in facts.threads}
    found = []
    accepted: dict[tuple[str, str, str], str] = {}
    for one in facts.heard:
        why = ""
        if one.ended == "answered":
            why = "it was answered"
        elif one.kept:
            why = f"the door said so ({one.error})"
        elif one.token in at_provider and not one.token.startswith("shared"):
            why = f"a provider was asked ({one.ended} {one.error})"
        place = (one.tenant, one.thread, one.token)
        accepted[place] = accepted.get(place) or why
    for (tenant, thread, token), why in accepted.items():
        times = _times(held.get((tenant, thread), ()), token)
        if times == 0 and why:
            found.append(f"{token} isn't in {thread}, though {why}")
        elif times > 1:
            found.append(f"{token} stands {times} times in {thread} without an answer between")
    for (_, thread), messages in held.items():
        asked = {token for (_, name, token) in accepted if name == thread}
        strange = {t for role, text in messages if role == "human" for t in TOKEN.findall(text)}
        found += [f"{token} stands in {thread}, not asked there" for token in strange - asked]
    return found


def _times(messages: Iterable[tuple[str, str]], token: str) -> int:
    """How often a question stands there; once more after its own answer is no repetition."""
    times = most = 0
    for role, text in messages:
        if role == "human" and token in TOKEN.findall(text):
            times += 1
            most = max(most, times)
        elif role == "ai" and token in [found for found, _ in ANSWERED.findall(text)]:
            times = 0
    return most


def wrong_answers(facts: Facts) -> list[str]:
    """Answers with another question's mark, as a client heard them and as the threads hold them."""
    found = []
    for one in facts.heard:
        marks = {token for token, _ in ANSWERED.findall(one.answer)}
        if marks - {one.token}:
            found.append(f"{one.token} in {one.thread} heard the answer to {sorted(marks)}")
        elif one.ended == "answered" and not marks:
            found.append(f"{one.token} in {one.thread} heard {one.answer[:60]!r}")
    for thread in facts.threads:
        asked = ""
        for role, text in thread.messages:
            if role == "human":
                asked = next(iter(TOKEN.findall(text)), "")
            elif role == "ai" and (others := {t for t, _ in ANSWERED.findall(text)} - {asked}):
                found.append(f"{thread.name} holds the answer to {sorted(others)} after {asked!r}")
    return found


def crossed(facts: Facts) -> list[str]:
    """Words, answers, rows and threads of one tenant where another is at work."""
    found = []
    for one in facts.asked:
        if len(tenants := _tenants_in(one.prompt)) > 1:
            found.append(f"{one.provider} request {one.number} has words of {sorted(tenants)}")
    heard_by: dict[tuple[str, str], set[str]] = {}
    for one in facts.heard:
        if others := _tenants_in(one.answer) - {one.tenant}:
            found.append(f"{one.tenant} heard a word of {sorted(others)} in {one.thread}")
        for mark in ANSWERED.findall(one.answer):
            heard_by.setdefault(mark, set()).add(one.tenant)
    for thread in facts.threads:
        text = " ".join(text for _, text in thread.messages)
        if others := _tenants_in(text) - {thread.tenant}:
            found.append(f"{thread.name} holds a word of {sorted(others)}")
        for mark in ANSWERED.findall(text):
            heard_by.setdefault(mark, set()).add(thread.tenant)
    for (token, number), tenants in heard_by.items():
        if len(tenants) > 1:
            found.append(f"the answer n{number} to {token} was given to {sorted(tenants)}")
    for tenant, text in facts.searches:
        if others := _tenants_in(text) - {tenant}:
            found.append(f"a search of {tenant} found a word of {sorted(others)}")
    for row in facts.booked:
        if row.thread and row.thread.partition("-")[0] != row.tenant:
            found.append(f"a call in {row.thread} is booked on {row.tenant!r}")
    return found


def _tenants_in(text: str) -> set[str]:
    return {name for name, word in WORDS.items() if word in text}


def ledger_differs(facts: Facts) -> list[str]:
    """Calls that one side has and the other hasn't, or with other tokens.

    Each answer of the simulator counts an own number of output tokens, so a row names its request.
    A call whose process was killed within a second of its end may be missing; so may one whose
    client left, which is booked as `aborted` with an estimate. The second begins when the client
    had the answer or left, or its turn died: a busy machine reads later than the provider writes.
    """
    found = []
    rows: dict[tuple[str, int], list[Booked]] = {}
    for row in facts.booked:
        if row.status in ("ok", "aborted") and not row.cached and not row.estimated:
            rows.setdefault((row.provider, row.output_tokens), []).append(row)
    places: dict[str, set[str]] = {}
    for heard in facts.heard:
        places.setdefault(heard.token, set()).add(heard.thread)
    left = Counter(
        (row.provider, row.thread)
        for row in facts.booked
        if row.status == "aborted" and row.estimated
    )
    for one in facts.asked:
        if not one.counted:
            continue
        mine = rows.pop((one.provider, one.output_tokens), [])
        threads = {name for token in one.questions for name in places.get(token, ())}
        place = next(((one.provider, t) for t in threads if left[one.provider, t] > 0), None)
        if len(mine) > 1:
            found.append(f"{one.provider} request {one.number} is booked {len(mine)} times")
        elif mine and mine[0].input_tokens != one.input_tokens:
            found.append(
                f"{one.provider} request {one.number} read {one.input_tokens} tokens, "
                f"booked are {mine[0].input_tokens}"
            )
        elif not mine and not _unflushed(one, _had_at(one, facts.heard), facts.spans):
            if place is not None:  # it ended while its reader was leaving
                left[place] -= 1
            else:
                found.append(f"{one.provider} request {one.number} isn't booked")
    for (provider, tokens), strange in rows.items():
        if strange[0].status == "ok":
            found.append(f"{provider}: {tokens} tokens are booked that it never counted")
    return found


def _had_at(one: Asked, heard: Sequence[Heard]) -> float:
    """When the client had the answer, left or its turn died; else when it was sent."""
    ends = [
        turn.at + turn.took_s
        for turn in heard
        if turn.token in one.questions[-1:]
        and turn.ended in ("answered", "left", "died")
        and turn.at <= one.ended
    ]
    later = (end for end in sorted(ends) if end >= one.ended)
    return min(next(later, one.ended), one.ended + LATEST_S)


def _unflushed(one: Asked, ended: float, spans: Sequence[Span]) -> bool:
    """Whether its process was killed before it had had a second to write in."""
    for kill in spans:
        if kill.kind.startswith("kill") and one.account in ("", kill.account):
            held_up = sum(
                max(0.0, min(kill.begin, span.end) - max(ended, span.begin))
                for span in spans
                if not span.kind.startswith("kill")
            )
            if one.at <= kill.end and kill.begin <= ended + FLUSH_S + held_up:
                return True
    return False


def over_budget(facts: Facts) -> list[str]:
    """Calls of the spender that a budget let through although it was used up.

    While Redis is away a process doesn't know what calls in others have reserved, so more may be
    spent than the limit; what was spent it knows, so no call may begin then either.
    """
    if facts.limit is None:
        return []
    mine = [row for row in facts.booked if row.tenant == SPENDER]
    paid = sorted((row for row in mine if not row.cached and _tokens(row)), key=lambda r: r.ended)
    if not any(row.status == "refused" for row in mine):
        return ["the budget was never reached: this audit has shown nothing"]
    away = [span for span in facts.spans if "redis" in span.kind]
    spent, over_at = 0, None
    for row in paid:
        spent += _tokens(row)
        if spent >= facts.limit and over_at is None:
            over_at = row.ended
    found = []
    if spent > facts.limit and not away:
        found.append(f"{spent:,} tokens were spent of {facts.limit:,}")
    for row in paid:
        late = over_at is not None and row.at > over_at + SETTLED_S
        if late:
            found.append(f"a call began {row.at - (over_at or 0):.1f} s after the budget's end")
    return found


def _tokens(row: Booked) -> int:
    return row.input_tokens + row.output_tokens


def without_end(facts: Facts) -> list[str]:
    """Turns that hang, and errors that say nothing a person can use."""
    found = list(facts.ends)
    for one in facts.heard:
        if one.ended == "hung":
            found.append(
                f"{one.token} at {one.door} ({one.way}) has no end after {one.took_s:.0f} s"
            )
        elif one.ended == "error" and not one.clear:
            found.append(f"{one.token} at {one.door} ({one.way}) ended in {one.error[:160]}")
    return found
