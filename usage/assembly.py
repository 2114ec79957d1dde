"""Puts recorder, budgets and notifiers together from the settings."""

from langchain_core.callbacks import BaseCallbackHandler

from allotrope.settings import Settings
from allotrope.stores.folders import data_folder
from allotrope.usage.ledger import make_ledger
from allotrope.usage.prices import PriceBook
from allotrope.usage.recorder import UsageRecorder


def identity(settings: Settings) -> str:
    """What tells two sets of handlers apart."""
    return f"{make_ledger(settings).url}|{settings.tenant}|{settings.usage!r}"


def assemble(settings: Settings) -> list[BaseCallbackHandler]:
    """Recorder first, then the budgets' guard where budgets are set."""
    usage = settings.usage
    recorder = UsageRecorder(
        make_ledger(settings),
        prices=PriceBook(usage.prices),
        tenant=settings.tenant,
        spill_path=data_folder(settings) / "usage-spill.jsonl",
        queue_size=usage.queue_size,
        batch_size=usage.batch_size,
        flush_interval_s=usage.flush_interval_s,
    )
    return [recorder]
