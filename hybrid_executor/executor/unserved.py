"""Warns of work that nobody takes: in a queue without a worker, or for a cluster without an agent."""

from __future__ import annotations

import logging
import time

from hybrid_executor.executor.context import Context
from hybrid_executor.insight.members import view_agent, view_worker
from hybrid_executor.insight.unserved import Place, find_unserved, place_of

log = logging.getLogger(__name__)

_WAITED_SECONDS = 30.0


class UnservedWarnings:
    """Warns once of each place where attempts of this scheduler have waited for 30 s and that nobody serves."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._warned: set[Place] = set()

    def look(self) -> None:
        """Look for such places, and log a warning for each new one.

        :raises StoreUnavailable: Redis could not be asked.
        """
        settings, now = self._context.settings, self._context.clock()
        waiting = [
            place_of(
                pool=tracked.pool,
                queue=tracked.queue,
                cluster=settings.cluster_of_profile(tracked.profile),
                state=tracked.state,
            )
            for tracked in self._context.ledger
            if now - tracked.since >= _WAITED_SECONDS
        ]
        if not any(waiting) and not self._warned:
            return
        presence = self._context.store.presence
        unserved = find_unserved(
            waiting,
            workers=[view_worker(member, now=time.time()) for member in presence.members("worker")],
            agents=[view_agent(member) for member in presence.members("agent")],
        )
        for item in unserved:
            if item.place not in self._warned:
                log.warning("%s", settings.words(str(item)))
        self._warned = {item.place for item in unserved}
