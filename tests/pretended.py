"""A deployment that exists in Redis only: workers, agents and attempts as their real ones announce and record them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence

from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.states import State
from hybrid_executor.store import Change, Claim, Outcome, Store, Submission

OWNER = OwnerId("1")
_ALIVE_SECONDS = 600.0


def announce_worker(
    store: Store,
    name: str,
    *,
    queues: str = "default",
    running: Sequence[str] = (),
    state: str = "running",
    concurrency: int = 4,
    seconds: float = _ALIVE_SECONDS,
) -> None:
    """Announce a worker as it would announce itself."""
    fields = {
        "state": state,
        "queues": queues,
        "running": json.dumps(list(running)),
        "concurrency": str(concurrency),
        "processes": str(concurrency),
        "clock": str(time.time()),
        "started_at": str(time.time() - 3600),
        "hostname": name.partition("@")[2],
        "pid": "1",
        "life": f"life-of-{name}",
    }
    store.presence.announce("worker", name, fields, seconds=seconds)


def announce_agent(
    store: Store,
    name: str,
    *,
    namespace: str = "default",
    refusals: Sequence[object] = (),
    state: str = "running",
    warm: Mapping[str, object] | None = None,
) -> None:
    """Announce an agent as it would announce itself.

    :param warm: what it says of the warm pods of each profile.
    """
    fields = {
        "state": state,
        "clusters": "default",
        "leases": f"watch:default:{namespace},reaper",
        "watches": f"watch:default:{namespace}",
        "in_flight": '{"default": 2}',
        "launched": '{"default": 40}',
        "refusals": json.dumps(list(refusals)),
        "warm": json.dumps({"default": warm} if warm else {}),
        "host": "host",
        "pid": "1",
        "life": f"life-of-{name}",
    }
    store.presence.announce("agent", name, fields, seconds=_ALIVE_SECONDS)


def submit(
    store: Store,
    attempts: Sequence[str],
    *,
    dag: str = "etl",
    task: str = "load",
    run: str = "run1",
    queue: str = "default",
    pool: str = "celery",
    owner: OwnerId = OWNER,
    kind: str = "task",
) -> None:
    """Record attempts as submitted; the index in the list is the map index where there are several."""
    submissions = [
        Submission(
            attempt=AttemptId(attempt),
            owner=owner,
            pool=pool,
            fields={
                "kind": kind,
                "dag_id": dag,
                "task_id": task,
                "run_id": run,
                "map_index": index if len(attempts) > 1 else -1,
                "try_number": 1,
                "queue": queue,
                "pool": pool,
                "cluster": "default" if pool == "kubernetes" else "",
                "namespace": "default" if pool == "kubernetes" else "",
            },
            payload="{}",
            cluster="default" if pool == "kubernetes" else "",
        )
        for index, attempt in enumerate(attempts)
    ]
    assert all(generation > 0 for generation in store.attempts.submit(submissions))


def run_on(store: Store, attempt: str, worker: str) -> Claim:
    """Let a worker claim an attempt."""
    return store.attempts.claim(AttemptId(attempt), worker=worker, owner=OWNER)


def move(store: Store, attempt: str, state: State, **fields: str) -> None:
    """Change the state of an attempt."""
    [claim] = store.attempts.advance_all([Change(attempt=AttemptId(attempt), to=state, fields=fields)])
    assert claim.outcome is Outcome.CHANGED, claim


def note(store: Store, attempt: str, words: str, *, category: str = "") -> None:
    """Write what an attempt waits for."""
    store.attempts.annotate({AttemptId(attempt): {"note": words, "category": category}})
