"""`allotrope cache`: look into the answer cache, take answers out of it, calibrate its gate."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from allotrope.cli.output import answer, emit

if TYPE_CHECKING:
    from allotrope.models.cache.admin import CacheAdmin
    from allotrope.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Look into the answer cache, clear it, calibrate it.",
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Tenant = Annotated[str | None, typer.Option("--tenant", help="Only this tenant's.")]
AgentName = Annotated[str | None, typer.Option("--agent", help="Only this agent's.")]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]


@contextmanager
def _admin() -> "Iterator[tuple[CacheAdmin, Settings]]":
    from allotrope.exceptions import SettingsError
    from allotrope.models.cache.admin import CacheAdmin
    from allotrope.models.cache.connecting import open_answers
    from allotrope.settings import load_settings

    settings = load_settings()
    patience_s = max(5.0, settings.cache.timeout_s)
    answers = open_answers(settings.with_section("cache", timeout_s=patience_s))
    if not answers.shared:
        raise SettingsError(
            "There is no Redis: the cache of each process is its own and ends with it.",
            hint="Set ALLOTROPE_REDIS__URL, or ALLOTROPE_REDIS__EMBEDDED=true.",
        )
    try:
        yield CacheAdmin(answers), settings
    finally:
        answers.close()


@app.command()
def stats(as_json: Json = False) -> None:
    """Hit rates by tier, tenant and agent; tokens, money and time saved."""
    with _admin() as (admin, settings):
        parts = admin.stats()
    rows: list[dict[str, Any]] = [
        {
            "tenant": part.tenant,
            "agent": part.agent,
            "entries": part.entries,
            "bytes": part.bytes,
            "hit_rate": round(part.hit_rate, 4),
            "hits": part.hits,
            "misses": part.misses,
            "shadow_hits": part.shadow_hits,
            "false_hits": part.false_hits,
            "evictions": part.evictions,
            "saved_tokens": part.saved,
            "saved_usd": saved_usd(part.saved, settings),
            "saved_s": round(part.saved_s, 1),
        }
        for part in parts
    ]
    if as_json:
        emit({"partitions": rows})
        return
    if not rows:
        print("Nothing is cached here.")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("tenant/agent", "answers", "hit rate", "hits", "saved")
    for row in rows:
        tokens = saved_tokens(row["saved_tokens"])
        usd = row["saved_usd"]
        rare = {"in shadow": row["shadow_hits"], "wrong": sum(row["false_hits"].values())}
        hits = {**row["hits"], **{name: count for name, count in rare.items() if count}}
        table.add_row(
            f"{row['tenant']}/{row['agent'] or '–'}",
            f"{row['entries']:,}\n{row['bytes'] / 1024:,.0f} KiB",
            f"{row['hit_rate']:.0%}",
            "\n".join(f"{count:,} {name}" for name, count in hits.items()),
            f"{tokens:,} tokens\n{'unknown' if usd is None else usd} USD\n{row['saved_s']:,.1f} s",
        )
    Console().print(table)


def saved_tokens(saved: "Mapping[str, Mapping[str, int]]") -> int:
    """All tokens that hits saved; cached input is a part of the input.

    Args:
        saved: Tokens by model and kind.
    """
    kinds = ("input_tokens", "output_tokens")
    return sum(found.get(kind, 0) for found in saved.values() for kind in kinds)


def saved_usd(saved: "Mapping[str, Mapping[str, int]]", settings: "Settings") -> str | None:
    """What the saved tokens would cost at today's prices; None where a model has no price.

    Args:
        saved: Tokens by model and kind.
        settings: Prices of the user's own, and the names of local models.
    """
    from decimal import Decimal

    from allotrope.exceptions import SettingsError
    from allotrope.models.providers.weights import find_weights, model_name
    from allotrope.usage.prices.prices import PriceBook
    from allotrope.usage.recorder.tokens import Tokens

    book = PriceBook(settings.usage.prices)
    own = {price.model: price.provider for price in settings.usage.prices}
    local = {settings.ollama.model: "ollama"}
    with suppress(SettingsError):  # there is no embedded model here
        local[model_name(find_weights(settings.embedded))] = "embedded"
    total = Decimal(0)
    for model, kinds in saved.items():
        tokens = Tokens(
            kinds.get("input_tokens", 0),
            kinds.get("output_tokens", 0),
            kinds.get("cached_input_tokens", 0),
        )
        price = book.price(own.get(model) or local.get(model, ""), model)
        if price is None:
            return None
        total += price.cost_of_many(tokens)
    return f"{total:.4f}"


@app.command()
def show(
    key: Annotated[str | None, typer.Argument(help="Start of an entry's key.")] = None,
    tenant: Tenant = None,
    agent: AgentName = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Entries listed.")] = 20,
    as_json: Json = False,
) -> None:
    """List the newest entries, or show one with its answer."""
    from itertools import islice

    from allotrope.exceptions import InputError

    with _admin() as (admin, _):
        if key is not None:
            entry = admin.entry(key)
            if entry is None:
                raise InputError(f"No entry's key starts with {key!r}.")
            first = entry.generations[0]
            body: dict[str, Any] = {
                "model": entry.model,
                "created": _when(entry.created),
                "question": entry.question,
                "answer": first.text,
                "saved": entry.saved,
                "seconds": entry.seconds,
                "tags": list(entry.tags),
                "semantic_hits": admin.reasons(key),
            }
            emit(body, indent=None if as_json else 2)
            return
        listed = list(islice(admin.listed(tenant=tenant, agent=agent), limit))
    if as_json:
        emit({"entries": [entry.__dict__ for entry in listed]})
        return
    if not listed:
        print("Nothing is cached here.")
        return
    from rich.console import Console
    from rich.table import Column, Table

    tags = Column("tags", overflow="fold")
    table = Table("key", Column("tenant/agent", overflow="fold"), "created (UTC)", tags)
    for item in listed:
        table.add_row(
            item.key[:12],
            f"{item.tenant}/{item.agent or '–'}",
            f"{_when(item.created)[:16].replace('T', ' ')}\n{item.bytes:,} bytes",
            "\n".join(item.tags),
        )
    Console().print(table)


def _when(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="seconds")


@app.command()
def clear(yes: Yes = False, as_json: Json = False) -> None:
    """Remove everything of the cache under our prefix, and nothing else."""
    if not yes and not as_json:
        typer.confirm("Remove every cached answer?", abort=True)
    from allotrope.models.cache.connecting import open_answers
    from allotrope.settings import load_settings

    answers = open_answers(load_settings())
    try:
        gone = answers.clear()
    finally:
        answers.close()
    answer({"removed": gone}, f"Removed {gone} keys.", as_json=as_json)


@app.command()
def invalidate(
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", help="model=o3, prompt=NAME@VERSION, profile=…, run=…, doc=…"),
    ] = None,
    doc: Annotated[
        list[str] | None,
        typer.Option("--doc", help="A source document, as the agent read it: docs/handbook.pdf"),
    ] = None,
    key: Annotated[str | None, typer.Option("--key", help="Start of an entry's key.")] = None,
    older_than: Annotated[
        float | None, typer.Option("--older-than", min=0, help="Hours.", metavar="HOURS")
    ] = None,
    tenant: Tenant = None,
    agent: AgentName = None,
    as_json: Json = False,
) -> None:
    """Take answers out by tag, key, age, tenant or agent; what is given must all match."""
    from allotrope.exceptions import InputError

    tags = [*(tag or ()), *(f"doc={name}" for name in doc or ())]
    if not (tags or key or older_than is not None or tenant or agent):
        raise InputError(
            "Nothing says what to take out.",
            hint="Give --doc, --tag, --key, --older-than or --agent.",
        )
    with _admin() as (admin, _):
        gone = admin.invalidate(
            tags=tags,
            key=key,
            older_than_s=None if older_than is None else older_than * 3600,
            tenant=tenant,
            agent=agent,
        )
    answer({"removed": gone}, f"Removed {gone} answers.", as_json=as_json)


@app.command("report-wrong")
def report_wrong(run_id: str, as_json: Json = False) -> None:
    """A run got a wrong answer: take it out of the cache and count it as a false hit."""
    from allotrope.exceptions import InputError

    with _admin() as (admin, _):
        tiers = admin.report_wrong(run_id)
    if not tiers:
        raise InputError(f"No cached answer is known to belong to the run {run_id!r}.")
    if as_json:
        emit({"run": run_id, "removed": tiers})
    else:
        print(f"Removed the answer of run {run_id} ({', '.join(tiers)}).")


@app.command()
def wrong(
    out: Annotated[Path, typer.Option("--out", help="Where the pairs go, JSONL.")] = Path(
        "wrong.jsonl"
    ),
    as_json: Json = False,
) -> None:
    """Write the pairs that users reported as wrong semantic hits, to calibrate with."""
    with _admin() as (admin, _):
        pairs = admin.wrong_pairs()
    lines = [json.dumps(pair, ensure_ascii=False) for pair in pairs]
    out.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    print(json.dumps({"pairs": len(pairs)}) if as_json else f"Wrote {len(pairs)} pairs to {out}.")


@app.command()
def warm(
    file: Annotated[Path, typer.Argument(help="One question a line, or JSONL with `question`.")],
    agent: Annotated[str, typer.Option("--agent", help="Who answers.")] = "assistant",
    as_json: Json = False,
) -> None:
    """Ask an agent questions so that their answers are in the cache."""
    from allotrope.agents.registry import find

    find(agent)
    questions = _questions(file)
    from allotrope.agents.agent import build_agent

    counts = {"asked": 0, "cached_before": 0}
    with build_agent(agent) as ready:
        for question in questions:
            reply = ready.ask(question).as_dict()
            counts["cached_before" if reply["cached"] else "asked"] += 1
    if as_json:
        emit(counts)
    else:
        print(f"Asked {counts['asked']}, already there {counts['cached_before']}.")


def _questions(file: Path) -> list[str]:
    from allotrope.exceptions import InputError

    found = []
    for number, line in enumerate(_lines(file), start=1):
        if line.startswith("{"):
            try:
                line = str(json.loads(line)["question"])
            except (ValueError, KeyError) as exc:
                raise InputError(f'{file}, line {number}, has no "question".') from exc
        found.append(line)
    return found


def _lines(file: Path) -> list[str]:
    from allotrope.exceptions import InputError

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"{file} can't be read: {exc}.") from exc
    return [line.strip() for line in text.splitlines() if line.strip()]


@app.command()
def calibrate(
    pairs: Annotated[
        list[Path],
        typer.Argument(
            help='JSONL of {"a", "b", "same"}, with "cosine" if known; a few hundred at least.'
        ),
    ],
    vectors: Annotated[
        Path | None,
        typer.Option("--vectors", help="npz with `texts` and `vectors`; default: ask the model."),
    ] = None,
    also: Annotated[
        Path | None,
        typer.Option(
            "--also", help="Pairs of another kind, which a third of the score learns from."
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Where the coefficients go.")] = Path(
        "gate.json"
    ),
    as_json: Json = False,
) -> None:
    """Fit the semantic gate on labelled pairs of your own, by cross-validation."""
    from allotrope.exceptions import InputError
    from allotrope.models.cache.semantic.fitting.calibrate import calibrate as fit_gate
    from allotrope.models.cache.semantic.fitting.reading import read_pairs

    labelled = read_pairs(pairs, vectors)
    same = sum(pair.same for pair in labelled)
    named = ", ".join(map(str, pairs))
    if len(labelled) < 200 or not 20 <= same <= len(labelled) - 20:
        raise InputError(
            f"{named} has {len(labelled)} pairs, {same} of them the same; that is too few.",
            hint="Label at least 200, with 20 of each kind.",
        )
    scorer = fit_gate(labelled, also=[] if also is None else read_pairs([also], vectors))
    out.write_text(scorer.dump() + "\n", encoding="utf-8")
    if as_json:
        emit({"file": str(out), "thresholds": scorer.thresholds, **scorer.measured})
        return
    measured = scorer.measured
    print(f"Fitted on {measured['pairs']} pairs, checked by {measured['folds']}-fold validation.")
    for recall, precision in measured["precision"].items():
        plain = measured["precision_by_cosine"][recall]
        print(f"  recall {recall}: precision {precision:.3f} (cosine alone {plain:.3f})")
    print(f"Wrote {out}. Use it with ALLOTROPE_CACHE__SEMANTIC__COEFFICIENTS={out}")


@app.command()
def shadow(
    pairs: Annotated[
        Path, typer.Argument(help='JSONL of {"a", "b", "same"}, from your own traffic.')
    ],
    vectors: Annotated[
        Path | None,
        typer.Option("--vectors", help="npz with `texts` and `vectors`; default: ask the model."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Keep how labelled pairs score, for the advice on the threshold."""
    from allotrope.experiments.shadows import record_pairs
    from allotrope.models.cache.semantic.fitting.reading import read_pairs
    from allotrope.settings import load_settings
    from allotrope.usage.ledger.ledger import open_ledger

    labelled, settings = read_pairs([pairs], vectors), load_settings()
    with open_ledger(settings) as ledger:
        count = record_pairs(settings, labelled, ledger)
    answer({"recorded": count}, f"{count:,} pairs are in the ledger.", as_json=as_json)
