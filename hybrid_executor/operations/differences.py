"""What does not fit together between Redis, Airflow's database, workers and clusters. Pure.

Promises: each difference is one sentence, with who repairs it. What could not be asked makes no difference. A running
deployment changes while it is read, so callers look twice and keep what both looks have found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from hybrid_executor import compat
from hybrid_executor.events import AttemptId
from hybrid_executor.operations.snapshot import SeenPod, Snapshot
from hybrid_executor.states import State
from hybrid_executor.store import Record

Repairer = Literal["this command", "scheduler", "agent", "worker", "nobody"]
Kind = Literal[
    "ended in a set",
    "unreadable record",
    "missing in a set",
    "no record",
    "no scheduler",
    "not awaited",
    "lost message",
    "spare messages",
    "no launch",
    "lost worker",
    "unknown to Redis",
    "pod without record",
    "pod of an ended attempt",
    "undecided",
    "ended pod",
    "missing pod",
]

_SETTLED_SECONDS = 30.0
_BEFORE_START = frozenset({State.SUBMITTED, State.LAUNCHING, State.PENDING})
_HAS_POD = frozenset({State.PENDING, State.RUNNING})


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing that does not fit.

    :ivar subject: the id of an attempt, or the name of what it is about.
    :ivar what: what does not fit, in words.
    :ivar repairer: who can repair it.
    :ivar cure: what repairs it, in words.
    :ivar generation: of the record, 0 for none: a difference of a later generation is another one.
    """

    kind: Kind
    subject: str
    what: str
    repairer: Repairer
    cure: str
    generation: int = 0

    @property
    def key(self) -> tuple[str, str, int]:
        """What makes it the same difference in two looks."""
        return (self.kind, self.subject, self.generation)


def find_differences(seen: Snapshot) -> list[Difference]:
    """Return all differences, those of the same kind together."""
    found = [
        *_in_sets(seen),
        *_of_records(seen),
        *_of_tasks(seen),
        *_of_workers(seen),
        *_of_queues(seen),
        *_of_pods(seen),
    ]
    return sorted(found, key=lambda item: (item.kind, item.subject))


def _in_sets(seen: Snapshot) -> Iterator[Difference]:
    sets: Mapping[str, frozenset[AttemptId]] = {
        **{f"live:{pool}": members for pool, members in seen.live.items()},
        **{f"owner:{owner}": members for owner, members in seen.owned.items()},
    }
    for name, members in sets.items():
        ended = [one for one in members if (record := seen.records.get(one)) is None or record.state.is_terminal]
        if ended:
            yield Difference(
                kind="ended in a set",
                subject=name,
                what=f"1 attempt in the set {name} has ended or has no record"
                if len(ended) == 1
                else f"{len(ended)} attempts in the set {name} have ended or have no record",
                repairer="this command",
                cure="they are removed from the set",
            )
    for record in seen.known:
        if record.trouble:
            yield Difference(
                kind="unreadable record",
                subject=record.id,
                what=record.trouble,
                repairer="nobody",
                cure=f"find out what wrote it, and run: airflow hybrid forget {record.id}",
            )


def _of_records(seen: Snapshot) -> Iterator[Difference]:
    for record in seen.known:
        if record.trouble or record.state.is_terminal or record.state is State.UNKNOWN:
            continue
        yield from _of_owner(seen, record)
        if record.pool == "celery":
            yield from _of_message(seen, record)
        elif record.pool == "kubernetes":
            yield from _of_launch(seen, record)


def _of_owner(seen: Snapshot, record: Record) -> Iterator[Difference]:
    standing = seen.standing_of(record)
    if standing.is_owner_alive and record.id not in seen.owned.get(record.owner, frozenset()):
        yield Difference(
            kind="missing in a set",
            subject=record.id,
            what=f"{record.name} is not in the set of its scheduler, job {record.owner}",
            repairer="this command",
            cure="it is added to the set",
            generation=record.generation,
        )
    if standing.is_orphaned:
        is_safe = record.state in _BEFORE_START
        yield Difference(
            kind="no scheduler",
            subject=record.id,
            what=f"{record.name} is {record.state.value}, its scheduler (job {record.owner}) is gone, and Airflow does "
            "not wait for it",
            repairer="this command" if is_safe else "nobody",
            cure="it is revoked" if is_safe else f"run: airflow hybrid revoke {record.id}",
            generation=record.generation,
        )
    elif not standing.is_owner_alive:
        others = "another scheduler adopts it" if seen.schedulers else "start a scheduler, which adopts it"
        yield Difference(
            kind="no scheduler",
            subject=record.id,
            what=f"{record.name} is {record.state.value}, and its scheduler (job {record.owner}) is gone",
            repairer="scheduler" if record.kind == "task" else "nobody",
            cure=others if record.kind == "task" else f"if nobody waits for it, run: airflow hybrid revoke {record.id}",
            generation=record.generation,
        )
    elif record.state is State.LOST and seen.age_seconds(record) >= _SETTLED_SECONDS:
        yield Difference(
            kind="undecided",
            subject=record.id,
            what=f"{record.name} has lost {record.holder or 'its holder'}, and nobody has decided about it",
            repairer="scheduler",
            cure="its scheduler fails it, or submits it again if its task has not started",
            generation=record.generation,
        )
    elif record.kind == "task" and record.state in _BEFORE_START and _is_given_up(seen, record):
        row = standing.row
        has = f"has the task as {row.state or 'without a state'}" if row is not None else "does not know the task"
        yield Difference(
            kind="not awaited",
            subject=record.id,
            what=f"{record.name} is {record.state.value}, but Airflow {has}",
            repairer="this command",
            cure="it is revoked, so that it does not start",
            generation=record.generation,
        )


def _is_given_up(seen: Snapshot, record: Record) -> bool:
    """Return whether Airflow certainly does not wait for an attempt: it ended its task, or queued it anew."""
    row = seen.standing_of(record).row
    if row is None:
        return bool(record.key)
    has_ended = row.state in ("success", "failed", "skipped", "upstream_failed", "removed")
    return has_ended or (row.state in compat.UNFINISHED and row.attempt not in ("", record.id))


def _of_message(seen: Snapshot, record: Record) -> Iterator[Difference]:
    is_old = seen.age_seconds(record) >= _SETTLED_SECONDS
    if record.state is State.SUBMITTED and is_old and record.id in seen.without_message:
        yield Difference(
            kind="lost message",
            subject=record.id,
            what=f"{record.name} waits, but no queue and no worker has its message",
            repairer="scheduler",
            cure="its scheduler sends the message again",
            generation=record.generation,
        )
    if record.state is State.RUNNING and record.id not in seen.in_hand:
        row = seen.standing_of(record).row
        if row is not None and row.is_beating(seen.worker_lost_after_seconds):
            return
        if seen.age_seconds(record) >= seen.worker_lost_after_seconds:
            yield Difference(
                kind="lost worker",
                subject=record.id,
                what=f"{record.name} runs on {record.holder} according to its record, but no living worker has it",
                repairer="scheduler",
                cure="its scheduler fails it, or submits it again if its task has not started",
                generation=record.generation,
            )


def _of_launch(seen: Snapshot, record: Record) -> Iterator[Difference]:
    # One that is submitted and is to leave its target is moved by its scheduler.
    waits = record.state is State.LAUNCHING or (record.state is State.SUBMITTED and not record.leaving)
    launching = seen.launching.get(record.cluster)
    if waits and launching is not None and record.id not in launching and seen.age_seconds(record) >= _SETTLED_SECONDS:
        yield Difference(
            kind="no launch",
            subject=record.id,
            what=f"{record.name} waits for its pod, but it is not on the launch stream of cluster {record.cluster}",
            repairer="this command",
            cure="it is put on the launch stream again",
            generation=record.generation,
        )


def _of_tasks(seen: Snapshot) -> Iterator[Difference]:
    """Find the attempts that Airflow waits for and that have no record."""
    for attempt, row in seen.awaited.items():
        if seen.records.get(attempt) is None:
            yield Difference(
                kind="no record",
                subject=attempt,
                what=f"Airflow has {row.dag_id}.{row.task_id} {row.run_id} as {row.state}, but there is no record",
                repairer="scheduler",
                cure="its scheduler records it again, or Airflow's timeouts end it",
            )


def _of_workers(seen: Snapshot) -> Iterator[Difference]:
    for attempt, worker in sorted(seen.running_on.items()):
        record = seen.records.get(attempt)
        if record is None or record.state.is_terminal:
            has = "has no record" if record is None else f"has {record.state.value} according to its record"
            yield Difference(
                kind="unknown to Redis",
                subject=attempt,
                what=f"worker {worker} runs {record.name if record else attempt}, which {has}",
                repairer="worker",
                cure="it runs on to its end, and its task reports to Airflow itself",
                generation=record.generation if record else 0,
            )


def _of_queues(seen: Snapshot) -> Iterator[Difference]:
    """Find queues with more messages than attempts that wait, or have just been taken."""
    expected = Counter(
        record.queue
        for record in seen.known
        if record.state is State.SUBMITTED
        or record.moved_from == "celery"
        or seen.age_seconds(record) < _SETTLED_SECONDS
    )
    for queue, count in sorted(seen.messages.items()):
        if count > expected[queue]:
            are = "1 message is" if count == 1 else f"{count} messages are"
            waiting = "1 attempt waits" if expected[queue] == 1 else f"{expected[queue]} attempts wait"
            yield Difference(
                kind="spare messages",
                subject=queue,
                what=f"{are} in queue {queue}, and {waiting} there",
                repairer="worker",
                cure="the worker that takes a message of an ended attempt drops it",
            )


def _of_pods(seen: Snapshot) -> Iterator[Difference]:
    agents = "an agent" if seen.agents else "start an agent, which"
    for pod in seen.pods:
        record = seen.records.get(pod.attempt)
        if record is None:
            yield _without_record(pod, agents)
        elif (record.state.is_terminal or record.generation > pod.generation) and not pod.is_settled:
            yield Difference(
                kind="pod of an ended attempt",
                subject=pod.path,
                what=f"pod {pod.path} is left of {record.name}, which is {record.state.value}",
                repairer="agent",
                cure=f"{agents} deletes or marks it",
                generation=record.generation,
            )
        elif pod.has_ended and seen.age_seconds(record) >= _SETTLED_SECONDS and not record.state.is_terminal:
            yield Difference(
                kind="ended pod",
                subject=pod.path,
                what=f"pod {pod.path} has ended, but {record.name} is {record.state.value} according to its record",
                repairer="agent",
                cure=f"{agents} records how it has ended",
                generation=record.generation,
            )
    there = {(pod.cluster, pod.namespace, pod.name) for pod in seen.pods}
    for record in seen.known:
        if record.pool != "kubernetes" or record.state not in _HAS_POD or not record.pod:
            continue
        if seen.was_asked(record.cluster, record.namespace) and (
            (record.cluster, record.namespace, record.pod) not in there
        ):
            yield Difference(
                kind="missing pod",
                subject=record.id,
                what=f"{record.name} is {record.state.value}, but its pod {record.namespace}/{record.pod} is not there",
                repairer="agent",
                cure=f"{agents} asks for the pod, and records that it is gone",
                generation=record.generation,
            )


def _without_record(pod: SeenPod, agents: str) -> Difference:
    if pod.has_ended:
        return Difference(
            kind="pod without record",
            subject=pod.path,
            what=f"pod {pod.path} has ended, and its attempt has no record",
            repairer="agent",
            cure=f"{agents} deletes or marks it",
        )
    return Difference(
        kind="pod without record",
        subject=pod.path,
        what=f"pod {pod.path} runs, and its attempt has no record",
        repairer="nobody",
        cure="it runs on to its end, since it may be somebody's task; to end it now, delete the pod",
    )
