"""Where each queue went with the old executor, and where it goes now. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hybrid_executor.migration.dag_advice import Effective
from hybrid_executor.migration.executors import BY_QUEUE, Executors
from hybrid_executor.migration.finding import Finding
from hybrid_executor.migration.plan import Plan, Target
from hybrid_executor.routing import Routes


@dataclass(frozen=True, kw_only=True)
class QueueMove:
    """Tasks with the same executor and queue.

    :ivar executor, queue: as the Dags have them; "" for none.
    :ivar pool: where they run with the old executor.
    :ivar new_queue: what the Dags write. :ivar new_pool, route: where they run now, and why.
    :ivar tasks: how often the Dags have it; 0 if only the configuration does.
    """

    executor: str
    queue: str
    pool: str
    new_queue: str
    new_pool: str
    route: str
    tasks: int


def follow_queues(old: Executors, plan: Plan, routes: Routes, uses: Iterable[Effective]) -> list[QueueMove]:
    """Return where the tasks of the Dags go, those that name nothing, and the queue for pods."""
    counts: dict[tuple[str, str | None], int] = {("", None): 0}
    if old.default.pool in BY_QUEUE:
        counts["", old.kubernetes_queue] = 0
    for one in uses:
        counts[one.asked] = counts.get(one.asked, 0) + 1
    return [
        _follow(old, plan, routes, executor, queue, tasks)
        for (executor, queue), tasks in sorted(counts.items(), key=lambda item: (item[0][0], item[0][1] or ""))
        if old.find(executor) in plan.replaced
    ]


def _follow(old: Executors, plan: Plan, routes: Routes, executor: str, queue: str | None, tasks: int) -> QueueMove:
    target = plan.targets.get((executor, queue), Target(queue))
    new_queue = target.queue or old.default_queue
    route = routes.find(new_queue)
    return QueueMove(
        executor=executor,
        queue=queue or "",
        pool=old.pool_of(executor, queue),
        new_queue=new_queue,
        new_pool=route.pool,
        route=str(route),
        tasks=tasks,
    )


def check_moves(moves: Iterable[QueueMove]) -> list[Finding]:
    """Return each move that would change where a task runs."""
    return [
        Finding(
            kind="blocked",
            subject="[hybrid_executor] routes",
            what=f"tasks of the queue {move.queue or move.new_queue!r} ran in {move.pool}, and {move.route} sends them "
            f"to {move.new_pool}",
            instead=f"write {move.new_queue}={move.pool} in front of the other routes",
            why="each task should run where it ran",
            documented="docs/routing.md#routes",
        )
        for move in moves
        if move.pool and move.pool != move.new_pool
    ]


def name_workers(moves: Iterable[QueueMove], old: Executors) -> list[Finding]:
    """Return the queues that workers must serve; nothing if no task runs on workers."""
    queues = sorted({move.new_queue for move in moves if move.new_pool == "celery"})
    if not queues:
        return []
    new = sorted(set(queues) - {move.queue or old.default_queue for move in moves})
    return [
        Finding(
            kind="check",
            subject="queues of workers",
            what=f"tasks use {', '.join(queues)}" + (f"; new: {', '.join(new)}" if new else ""),
            instead=f"start workers that serve them: airflow hybrid worker --queues {','.join(queues)}",
            why="tasks of a queue that no worker serves wait",
            documented="docs/workers.md",
        )
    ]
