"""What Redis, Airflow's database, workers and clusters say at one moment, for a comparison. Reads only.

Promises: a source that cannot be asked is named in ``unasked``; it never counts as empty.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hybrid_executor import compat
from hybrid_executor.config import Settings
from hybrid_executor.errors import KeyMisused
from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.operations.members import names_in
from hybrid_executor.operations.standing import Standing, asking_the_database
from hybrid_executor.pools.pool import RecordedPool
from hybrid_executor.states import State
from hybrid_executor.store import Member, Record, Store

_AT_ONCE = 1000


@dataclass(frozen=True, kw_only=True)
class SeenPod:
    """A pod of this deployment.

    :ivar generation: of the record when it was launched.
    :ivar has_ended: its task has ended, whatever its end.
    :ivar is_settled: it is marked as done, or is being deleted.
    """

    cluster: str
    namespace: str
    name: str
    attempt: AttemptId
    generation: int
    has_ended: bool
    is_settled: bool

    @property
    def path(self) -> str:
        """Namespace and name, for people."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, kw_only=True)
class PodList:
    """The pods of the clusters.

    :ivar places: the clusters and namespaces that were asked; namespace ``None`` is the whole cluster.
    :ivar unasked: which of them did not answer, and why.
    """

    pods: Sequence[SeenPod] = ()
    places: frozenset[tuple[str, str | None]] = frozenset()
    unasked: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What was read.

    :ivar live, owned: the members of the sets of each pool and of each scheduler.
    :ivar records: of every attempt that anything names; ``None`` where there is none.
    :ivar rows: of the tasks of these records, by the task's id.
    :ivar awaited: the queued and running tasks of this executor in Airflow's database, by attempt.
    :ivar schedulers: job ids of the living schedulers.
    :ivar running_on: the worker that says that it runs an attempt. :ivar in_hand: also what workers hold.
    :ivar launching: attempts on the launch stream of each cluster whose stream could be read.
    :ivar without_message: submitted attempts whose message is certainly in no queue.
    :ivar messages: how many messages each queue on the store's Redis holds, the fewest of two counts.
    :ivar now_milliseconds: by the clock of the Redis server.
    """

    live: Mapping[str, frozenset[AttemptId]]
    owned: Mapping[str, frozenset[AttemptId]]
    records: Mapping[AttemptId, Record | None]
    rows: Mapping[str, compat.TaskRow]
    awaited: Mapping[AttemptId, compat.TaskRow]
    schedulers: frozenset[str]
    workers: Sequence[Member]
    agents: Sequence[Member]
    running_on: Mapping[AttemptId, str]
    in_hand: frozenset[AttemptId]
    launching: Mapping[str, frozenset[AttemptId]]
    without_message: frozenset[AttemptId]
    messages: Mapping[str, int]
    pods: Sequence[SeenPod]
    places: frozenset[tuple[str, str | None]]
    unasked: Sequence[str]
    now_milliseconds: int
    worker_lost_after_seconds: float
    _standings: dict[AttemptId, Standing] = field(default_factory=dict, repr=False)

    @property
    def known(self) -> list[Record]:
        """All records."""
        return [record for record in self.records.values() if record is not None]

    def standing_of(self, record: Record) -> Standing:
        """Return how an attempt stands besides its record."""
        if record.id not in self._standings:
            self._standings[record.id] = Standing(
                record=record,
                row=self.rows.get(record.key),
                is_owner_alive=record.owner in self.schedulers,
                is_in_hand=record.id in self.in_hand,
            )
        return self._standings[record.id]

    def age_seconds(self, record: Record) -> float:
        """Return how long a record has been as it is."""
        since = max(record.submitted_at, record.launching_at, record.pending_at, record.running_at, record.lost_at)
        return (self.now_milliseconds - since) / 1000

    def was_asked(self, cluster: str, namespace: str) -> bool:
        """Return whether the list of pods has all of this namespace."""
        return (cluster, None) in self.places or (cluster, namespace) in self.places


def take_snapshot(
    store: Store,
    settings: Settings,
    *,
    pools: Mapping[str, RecordedPool],
    pods: PodList,
    is_default_executor: bool = True,
) -> Snapshot:
    """Read everything once. What lists of attempts say is read before their records.

    :param pods: as the clusters show them, read just before.
    :param is_default_executor: tasks without an executor of their own run in ours.
    :raises StoreUnavailable: Redis could not be asked.
    :raises HybridError: Airflow's database could not be asked.
    """
    with asking_the_database():
        schedulers = compat.read_live_schedulers()
        tasks = compat.read_unfinished_tasks(is_default_executor=is_default_executor, share=settings.share)
    awaited = {AttemptId(row.attempt): row for row in tasks if row.attempt and _is_recorded(settings, row.queue, pools)}
    workers, agents = store.presence.members("worker"), store.presence.members("agent")
    in_hand = store.presence.in_hand()
    served = {queue for worker in workers for queue in names_in(worker, "queues")}
    messages = _count_messages(store, pools, served)
    live = {pool: frozenset(store.attempts.live(pool)) for pool in pools}
    launching, unasked = _read_launches(store, settings)
    running_on = {attempt: worker.name for worker in workers if worker.is_alive for attempt in _running(worker)}
    owners = {OwnerId(job) for job in schedulers}
    owned: dict[str, frozenset[AttemptId]] = {
        owner: frozenset(store.attempts.owned_by(owner)) for owner in sorted(owners)
    }
    named = {*awaited, *running_on, *(pod.attempt for pod in pods.pods)}
    named |= {attempt for members in [*live.values(), *owned.values()] for attempt in members}
    records = _read_records(store, sorted(named))
    gone = {record.owner for record in records.values() if record is not None and record.owner} - owners
    owned |= {owner: frozenset(store.attempts.owned_by(owner)) for owner in sorted(gone)}
    records |= _read_records(store, sorted({one for owner in gone for one in owned[owner]} - records.keys()))
    with asking_the_database():
        rows = compat.read_tasks(r.key for r in records.values() if r is not None and r.kind == "task" and r.key)
    return Snapshot(
        live=live,
        owned=owned,
        records=records,
        rows=rows,
        awaited=awaited,
        schedulers=frozenset(schedulers),
        workers=[worker for worker in workers if worker.is_alive],
        agents=[agent for agent in agents if agent.is_alive],
        running_on=running_on,
        in_hand=frozenset(in_hand),
        launching=launching,
        without_message=_without_message(store, pools, records, in_hand),
        messages=_fewest(messages, _count_messages(store, pools, served)),
        pods=pods.pods,
        places=pods.places,
        unasked=[*pods.unasked, *unasked],
        now_milliseconds=store.now_milliseconds(),
        worker_lost_after_seconds=settings.worker_lost_after_seconds,
    )


def _read_records(store: Store, attempts: Sequence[AttemptId]) -> dict[AttemptId, Record | None]:
    found: dict[AttemptId, Record | None] = {}
    for start in range(0, len(attempts), _AT_ONCE):
        batch = attempts[start : start + _AT_ONCE]
        found |= dict(zip(batch, store.attempts.records(batch), strict=True))
    return found


def _read_launches(store: Store, settings: Settings) -> tuple[dict[str, frozenset[AttemptId]], list[str]]:
    found: dict[str, frozenset[AttemptId]] = {}
    unasked = []
    for cluster in settings.clusters:
        try:
            found[cluster] = frozenset(store.launches(cluster, consumer="").launches_waiting())
        except KeyMisused as error:
            unasked.append(f"The launch stream of cluster {cluster} cannot be read: {error}")
    return found, unasked


def _is_recorded(settings: Settings, queue: str, pools: Collection[str]) -> bool:
    """Return whether attempts of a queue have records on whichever target they are."""
    return all(target.pool in pools for target in settings.routes.find(queue).targets)


def _count_messages(store: Store, pools: Mapping[str, RecordedPool], queues: Iterable[str]) -> dict[str, int]:
    keys = {queue: key for pool in pools.values() for queue in sorted(queues) if (key := pool.list_key(queue))}
    lengths = store.broker_lists.lengths(keys.values())
    return {queue: lengths[key] for queue, key in keys.items()}


def _fewest(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    return {queue: min(count, after[queue]) for queue, count in before.items()}


def _running(worker: Member) -> list[AttemptId]:
    try:
        return [AttemptId(str(attempt)) for attempt in json.loads(worker.fields.get("running") or "[]")]
    except (ValueError, TypeError):
        return []


def _without_message(
    store: Store,
    pools: Mapping[str, RecordedPool],
    records: Mapping[AttemptId, Record | None],
    in_hand: set[AttemptId],
) -> frozenset[AttemptId]:
    waiting = [
        record
        for record in records.values()
        if record is not None
        and record.pool in pools
        and record.pool != "kubernetes"
        and record.state is State.SUBMITTED
        and record.id not in in_hand
    ]
    found = {record.id for record in waiting if record.received_by}
    for name, pool in pools.items():
        untaken = [record for record in waiting if record.pool == name and not record.received_by]
        found |= {record.id for record in pool.lost(store, untaken)}
    return frozenset(found)
