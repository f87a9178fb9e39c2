"""The new ``[core] executor`` and routes, and the new queue of each task that names an executor. Pure.

Promises: a task runs in the pool where it ran before, and as few lines of Dags as possible change. Tasks that name no
executor keep their queue.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from glob import escape

from hybrid_executor.migration.executors import BY_QUEUE, Entry, Executors

HYBRID = "hybrid_executor.HybridExecutor"
KUBERNETES = "hybrid_executor.KubernetesExecutor"
LOCAL_KUBERNETES = "hybrid_executor.LocalKubernetesExecutor"

Asked = tuple[str, "str | None"]
"""What a task has now: its ``executor``, "" for none, and its ``queue``, None for none."""


@dataclass(frozen=True)
class Target:
    """What a task writes instead.

    :ivar queue: its queue; ``None`` for none.
    :ivar executor: "" unless this executor is not the default one.
    """

    queue: str | None
    executor: str = ""


@dataclass(frozen=True)
class Plan:
    """The new configuration of the executor.

    :ivar executor: the value of ``[core] executor``.
    :ivar class_path: our class in it.
    :ivar routes: the value of ``[hybrid_executor] routes``; "" if none is needed.
    :ivar targets: what each task that names an executor writes instead.
    :ivar replaced: the executors that ours replaces. :ivar kept: those beside it.
    """

    executor: str
    class_path: str
    routes: str
    targets: Mapping[Asked, Target] = field(default_factory=dict)
    replaced: tuple[Entry, ...] = ()
    kept: tuple[Entry, ...] = ()

    @property
    def is_default(self) -> bool:
        """Our executor is the first one: the one of tasks that name none."""
        return self.executor.split(";")[0].split(",")[0] == self.class_path


def make_plan(old: Executors, asked: Collection[Asked]) -> Plan | None:
    """Return what replaces the old executors; ``None`` if ours replaces none of them.

    :param asked: what the tasks of the Dags have.
    """
    replaced = _replaced_by_ours(old.entries)
    if not replaced:
        return None
    class_path = _class_for(replaced)
    kept = tuple(entry for entry in old.entries if entry not in replaced)
    texts: list[str] = []
    for entry in old.entries:
        if entry not in replaced:
            texts.append(entry.text)
        elif class_path not in texts:
            texts.append(class_path)
    executor = ";".join([",".join(texts), *old.teams])
    plan = Plan(executor, class_path, "", replaced=replaced, kept=kept)
    routes, targets = _route(old, plan, asked)
    return Plan(executor, class_path, routes, targets, replaced, kept)


def _replaced_by_ours(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Return what one of our classes can replace: Celery and pods, or local processes and pods."""
    by_pool = {entry.pool: entry for entry in entries}
    for one in BY_QUEUE:
        if one in by_pool:
            return (by_pool[one],)
    pools = ("celery", "kubernetes") if "celery" in by_pool else ("kubernetes", "local")
    if "kubernetes" not in by_pool and "celery" not in by_pool:
        return ()
    return tuple(entry for entry in by_pool.values() if entry.pool in pools)


def _class_for(replaced: Collection[Entry]) -> str:
    pools = {entry.pool for entry in replaced}
    if pools & {"local", "local_kubernetes"}:
        return LOCAL_KUBERNETES
    return KUBERNETES if pools == {"kubernetes"} else HYBRID


def _route(old: Executors, plan: Plan, asked: Collection[Asked]) -> tuple[str, dict[Asked, Target]]:
    """Return the routes, and the new queue of tasks that name one of the replaced executors."""
    named = {one for one in asked if one[0] and old.find(one[0]) in plan.replaced}
    executor = "" if plan.is_default else plan.class_path.rpartition(".")[2]
    first = plan.replaced[0]
    if first.pool in BY_QUEUE or len(plan.replaced) == 1:
        # The queue decides already, or there is only one pool.
        routes = "*=celery" if first.pool == "celery" else ""
        return routes, {one: Target(one[1], executor) for one in named}
    rest = old.default.pool if plan.is_default else first.pool
    taken = {old.default_queue}
    taken |= {queue for name, queue in asked if queue and old.pool_of(name, queue) == rest}
    targets: dict[Asked, Target] = {}
    routed: dict[str, str] = {}
    for one in sorted(named, key=lambda pair: (pair[0], pair[1] or "")):
        name, queue = one
        pool = old.pool_of(name, queue)
        if pool == rest:
            targets[one] = Target(queue, executor)
            continue
        keeps = queue is not None and queue not in taken and routed.get(queue, pool) == pool and _can_be_routed(queue)
        new = queue if keeps and queue is not None else _free_name(pool, queue, taken, routed)
        routed[new] = pool
        targets[one] = Target(new, executor)
    for pool in (entry.pool for entry in plan.replaced):
        if pool != rest and pool not in routed.values():
            routed[_free_name(pool, None, taken, routed)] = pool
    return ", ".join([*(f"{escape(queue)}={pool}" for queue, pool in routed.items()), f"*={rest}"]), targets


def _can_be_routed(queue: str) -> bool:
    return queue == queue.strip() and not any(sign in queue for sign in ",=\n")


def _free_name(pool: str, queue: str | None, taken: Collection[str], routed: Mapping[str, str]) -> str:
    """Return a queue for tasks of a pool that need one: the pool's name, or one made of both names."""
    one_queue_is_enough = pool != "celery" or queue is None
    name = pool if one_queue_is_enough else f"{queue.replace(',', '-').replace('=', '-')}-{pool}" if queue else pool
    while name in taken or routed.get(name, pool) != pool:
        name += f"-{pool}" if name == pool else "-2"
    return name
