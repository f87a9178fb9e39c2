"""What an executor holds, as lines for its scheduler's log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hybrid_executor.executor.context import Context


def describe(context: Context | None, limits: Mapping[str, int], taken: Mapping[str, int]) -> Iterator[str]:
    """Yield one line per pool and per attempt, and whether Redis answers."""
    if context is None:
        yield "The executor has not been started"
        return
    for pool, limit in limits.items():
        yield f"Pool {pool}: {taken.get(pool, 0)} of {limit} slots taken"
    for tracked in context.ledger:
        yield (
            f"Attempt {tracked.attempt} of {tracked.key}: pool {tracked.pool}, queue {tracked.queue}, "
            f"{tracked.state.value}, held by {tracked.holder or 'nobody'}"
        )
    yield f"Redis: {context.outage.trouble or 'available'}"
