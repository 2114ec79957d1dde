"""Online experiments in an agent's turns: the variant goes into the run's context, and is recorded.

Without a folder of experiments nothing is imported and nothing is opened.
"""

import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from allotrope.graphs.context import RunContext
from allotrope.settings import Settings
from allotrope.support.pools import TURNS

if TYPE_CHECKING:
    from allotrope.experiments.online.online import OnlineExperiments

PINS = frozenset({"profile", "prompt_label"})
"""What experiments vary: a caller who pins one of them takes part in none, in no variant, so that
the groups stay alike."""


class TurnExperiments:
    """The experiments of one agent's turns, opened at the first turn that needs them.

    Args:
        settings: Where experiments and ledger are.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder: Path | None = None
        self._online: OnlineExperiments | None = None
        self._lock = threading.Lock()

    @property
    def present(self) -> bool:
        """Whether there is a folder of experiments at all; costs one look at the disk."""
        if self._folder is None:
            own = self._settings.experiments.folder
            if own is None:
                from allotrope.stores.folders import data_folder

                self._folder = data_folder(self._settings) / "experiments"
            else:
                self._folder = own.expanduser()
        return self._folder.is_dir()

    def join(
        self, agent: str, context: RunContext, *, pinned: frozenset[str], thread: str, run_id: str
    ) -> RunContext:
        """The context of a run with what its variant sets; records the exposure.

        Args:
            agent: The agent type.
            context: The run's context so far.
            pinned: Fields the caller set; they are never changed.
            thread: The conversation.
            run_id: The run.
        """
        if not self.present:
            return context
        online = self._opened()
        # a run that carries a variant belongs to an experiment already (an offline one)
        if "variant" in pinned or pinned & PINS:
            return context
        choice = online.choose(agent, tenant=context.tenant, user=context.user, thread=thread)
        online.expose(choice, run_id=run_id)
        changes = {name: value for name, value in choice.context.items() if name not in pinned}
        return replace(context, **changes) if changes else context

    async def ajoin(
        self, agent: str, context: RunContext, *, pinned: frozenset[str], thread: str, run_id: str
    ) -> RunContext:
        """As `join`; what reads files and writes the ledger is kept off the event loop."""
        if self._folder is not None and not self.present:
            return context
        return await TURNS.run(
            self.join, agent, context, pinned=pinned, thread=thread, run_id=run_id
        )

    def close(self) -> None:
        """Closes the ledger, if it was opened."""
        with self._lock:
            online, self._online = self._online, None
        if online is not None:
            online.close()

    def _opened(self) -> "OnlineExperiments":
        with self._lock:
            if self._online is None:
                from allotrope.experiments.online.online import open_online

                self._online = open_online(self._settings)
            return self._online
