"""Messages that attempts have left behind on their way to another target.

A worker drops such a message when it takes it. Where no worker runs for days and every task goes on to pods, nobody
takes them, and the list would grow for as long. So the repair removes them. With another broker than the store's Redis,
they stay until a worker comes.
"""

from __future__ import annotations

import logging

from hybrid_executor.executor.context import Context

log = logging.getLogger(__name__)

_REPAIR_SECONDS = 0.2


class LeftMessages:
    """Looks through the queues from which attempts have gone on, a part of them each time."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._skip: dict[str, int] = {}

    def drop(self) -> None:
        """Remove what was left behind, for a short time; the next call goes on there.

        :raises StoreUnavailable: Redis could not be asked.
        """
        context, pending = self._context, self._context.pending
        pool = context.pools.get("celery")
        until = context.clock() + _REPAIR_SECONDS
        total = 0
        while pending.left_queues and pool is not None and context.clock() < until:
            queue = min(pending.left_queues)
            list_key = pool.list_key(queue)
            skip = -1
            if list_key:
                dropped, skip = context.store.broker_lists.drop_left(
                    list_key, pool=pool.name, skip=self._skip.get(queue, 0)
                )
                total += dropped
            self._skip[queue] = skip
            if skip < 0:
                del self._skip[queue]
                pending.left_queues.discard(queue)
        if total:
            log.info("Removed %s messages of attempts that have gone on to another target", total)
