"""What a person may tell workers: drain, take work again, stop, serve another queue.

Each operation gives its order, waits until the workers show that they have obeyed, and says so for each of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from hybrid_executor.errors import ConfigError
from hybrid_executor.operations.done import Done, Report, tell_nobody
from hybrid_executor.operations.members import OBEYED_SECONDS, IsDone, Members, count_in, names_in, state_of
from hybrid_executor.store import Member, Order, Store

_TAKES_WORK = frozenset({"running", "deaf"})
_TAKES_NONE = frozenset({"draining", "drained", "gone"})


def choose_workers(
    store: Store, *, name: str | None = None, queue: str | None = None, is_for_all: bool = False
) -> list[Member]:
    """Return the live workers with this name or host, those that serve this queue, or all.

    :raises ConfigError: there is none; the message lists the live workers.
    :raises StoreUnavailable: Redis could not be asked.
    """
    members = store.presence.members("worker")
    if is_for_all:
        return [member for member in members if member.is_alive]
    return choose(members, name=name, queue=queue)


def choose(members: Sequence[Member], *, name: str | None, queue: str | None) -> list[Member]:
    """Return the live workers with this name or host, or with this queue.

    The queues of a worker that drains are those that it will serve again.

    :raises ConfigError: there is none; the message lists the live workers.
    """
    alive = [member for member in members if member.is_alive]
    if name:
        chosen = [m for m in alive if m.name == name] or [m for m in alive if m.name.partition("@")[2] == name]
    elif queue:
        chosen = [m for m in alive if queue in names_in(m, "queues") | names_in(m, "paused_queues")]
    else:
        raise ConfigError(
            "No worker given: write the name of a worker, or an option that selects several (see --help)."
        )
    if not chosen:
        known = ", ".join(member.name for member in alive) or "none"
        meant = f"with the name or host {name}" if name else f"that serves the queue {queue}"
        raise ConfigError(f"There is no live worker {meant}. Live workers: {known}.")
    return chosen


def drain_workers(
    store: Store, chosen: Sequence[Member], *, seconds: float = OBEYED_SECONDS, report: Report = tell_nobody
) -> list[Done]:
    """Stop workers from taking new tasks; running tasks continue."""
    order = Order("drain")
    return _MEMBERS.command(store, chosen, order, lambda m: state_of(m) in _TAKES_NONE, seconds=seconds, report=report)


def await_idle_workers(
    store: Store, chosen: Sequence[Member], *, seconds: float | None = None, report: Report = tell_nobody
) -> list[Done]:
    """Wait until no task runs on drained workers.

    :param seconds: how long to wait, ``None`` for ever.
    """
    return _MEMBERS.wait(store, chosen, lambda m: state_of(m) in ("drained", "gone"), seconds=seconds, report=report)


def resume_workers(
    store: Store, chosen: Sequence[Member], *, seconds: float = OBEYED_SECONDS, report: Report = tell_nobody
) -> list[Done]:
    """Let drained workers take tasks again."""
    order = Order("resume")
    return _MEMBERS.command(store, chosen, order, lambda m: state_of(m) in _TAKES_WORK, seconds=seconds, report=report)


def stop_workers(
    store: Store, chosen: Sequence[Member], *, seconds: float = OBEYED_SECONDS, report: Report = tell_nobody
) -> list[Done]:
    """Stop workers after their running tasks have ended. Returns when they take no new tasks."""
    is_done: IsDone = lambda m: state_of(m) in ("draining", "gone")  # noqa: E731
    return _MEMBERS.command(store, chosen, Order("stop"), is_done, seconds=seconds, report=report)


def add_queue(
    store: Store,
    chosen: Sequence[Member],
    queue: str,
    *,
    seconds: float = OBEYED_SECONDS,
    report: Report = tell_nobody,
) -> list[Done]:
    """Let workers serve one more queue, until they stop. A worker that drains serves it when it takes tasks again.

    :raises ConfigError: the name cannot be one of a queue.
    """
    order = Order("add-queue", _checked(queue))
    return _MEMBERS.command(
        store,
        chosen,
        order,
        lambda m: queue in names_in(m, "queues") | names_in(m, "paused_queues"),
        seconds=seconds,
        report=report,
    )


def remove_queue(
    store: Store,
    chosen: Sequence[Member],
    queue: str,
    *,
    seconds: float = OBEYED_SECONDS,
    report: Report = tell_nobody,
) -> list[Done]:
    """Let workers stop serving a queue, until they stop.

    :raises ConfigError: the name cannot be one of a queue.
    """
    order = Order("remove-queue", _checked(queue))
    return _MEMBERS.command(
        store,
        chosen,
        order,
        lambda m: queue not in names_in(m, "queues") | names_in(m, "paused_queues"),
        seconds=seconds,
        report=report,
    )


def _checked(queue: str) -> str:
    if not queue.strip() or "," in queue:
        raise ConfigError(f"{queue!r} is not the name of one queue: write one name, without commas.")
    return queue


def _words(member: Member | None) -> str:
    if member is None or not member.is_alive:
        return "gone"
    queues = ",".join(sorted(names_in(member, "queues"))) or "none"
    return f"{state_of(member)}, {count_in(member, 'running')} running, queues {queues}"


_MEMBERS = Members(role="worker", describe=_words, late="has not done it yet; see 'airflow hybrid workers'")
