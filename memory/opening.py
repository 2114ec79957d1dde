"""Building the memory from the settings. Nothing is opened until the first turn."""

from collections.abc import Callable
from datetime import UTC, datetime

from allotrope.memory.archive.archive import Archive
from allotrope.memory.archive.dialects import ArchiveDatabase
from allotrope.memory.archive.postgres import PostgresDatabase
from allotrope.memory.archive.sqlite import SqliteDatabase
from allotrope.memory.facts import LongTermFacts
from allotrope.memory.memory import ConversationMemory
from allotrope.memory.recall.embeddings import Embed, open_embed
from allotrope.memory.recall.recall import Recall
from allotrope.memory.summary.summariser import Summarise, Summariser
from allotrope.memory.tokens.counting import TokenCounter
from allotrope.settings import Settings
from allotrope.stores.folders import data_folder


def open_archive(settings: Settings) -> Archive:
    """The archive of the settings: PostgreSQL by URL, else SQLite in the data folder."""
    url = settings.memory.archive_url
    database: ArchiveDatabase
    if url is not None:
        database = PostgresDatabase(url.get_secret_value())
    elif settings.checkpoint_url is not None:
        database = PostgresDatabase(settings.checkpoint_url.get_secret_value())
    else:
        database = SqliteDatabase(data_folder(settings) / "archive.sqlite")
    return Archive(database)


def open_facts(settings: Settings) -> LongTermFacts:
    """The long-term facts of the settings: SQLite in the data folder."""
    return LongTermFacts(path=data_folder(settings) / "facts.sqlite")


def open_memory(
    settings: Settings,
    *,
    summarise: Summarise | None = None,
    embed: Embed | None = None,
    counter: TokenCounter | None = None,
    archive: Archive | None = None,
    clock: Callable[[], datetime] | None = None,
) -> ConversationMemory:
    """The memory of the settings.

    Args:
        settings: Sizes and places.
        summarise: Asks a cheap model for a summary; used where `memory.summary` is `model`.
        embed: Texts to vectors; default: the embeddings that `memory.embeddings` names, if any.
        counter: Counts; default: exact o200k_base for the OpenAI model of the settings.
        archive: Another archive than that of the settings.
        clock: The time of day.
    """
    archive = archive or open_archive(settings)
    counter = counter or TokenCounter(model=settings.openai.model)
    options = settings.memory
    summariser = None
    if options.summary != "off" and options.summary_tokens:
        summariser = Summariser(
            archive,
            counter=counter,
            tokens=options.summary_tokens,
            every=options.summary_every_tokens,
            call=summarise if options.summary == "model" else None,
            timeout_s=options.summary_timeout_s,
        )
    return ConversationMemory(
        archive,
        settings=options,
        counter=counter,
        recall=Recall(archive, embed=embed or open_embed(settings)),
        summariser=summariser,
        facts=open_facts(settings) if options.facts else None,
        clock=clock or (lambda: datetime.now(UTC)),
    )
