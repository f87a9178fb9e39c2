"""What this worker is doing, read from Celery's own books in the main process. Never blocks, never changes them."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import celery  # type: ignore[import-untyped]
from celery.worker import state as books  # type: ignore[import-untyped]

from hybrid_executor.events import AttemptId
from hybrid_workers.parsed import lent


@dataclass(frozen=True)
class Activity:
    """One look at the books.

    :ivar running: attempts that a task process has.
    :ivar waiting: attempts whose message is here and that no task process has yet.
    """

    running: frozenset[AttemptId] = frozenset()
    waiting: frozenset[AttemptId] = frozenset()

    @property
    def is_idle(self) -> bool:
        """Nothing runs and nothing waits to."""
        return not self.running and not self.waiting


@dataclass
class WorkerCard:
    """What the worker announces of itself.

    :ivar life: names this worker from its start to its end; orders are given to it.
    :ivar paused_queues: those that it serves again when it need no longer drain.
    :ivar concurrency: how many workloads it may run at the same time.
    :ivar processes: how many task processes it has for them; fewer, where it makes more at need.
    :ivar is_draining: it takes no more messages.
    :ivar is_leaving: it ends when what runs has ended.
    :ivar consumed_at: when it last got a message, in seconds since the epoch; 0 for never.
    :ivar loop_at: when its main thread last came round, in the same seconds.
    :ivar is_waiting: its main thread waits for a broker that does not serve it.
    :ivar trouble: why Redis does not serve it, in words; "" where it does.
    :ivar deaf_since: since when messages wait for it that it could take and does not; 0 for not.
    :ivar identity: versions, and fingerprints of shared secrets.
    :ivar is_deaf: a second look has confirmed that; at the first one they may just have come.
    """

    name: str
    queues: tuple[str, ...] = ()
    paused_queues: tuple[str, ...] = ()
    concurrency: int = 0
    processes: int = 0
    is_draining: bool = False
    is_leaving: bool = False
    consumed_at: float = 0.0
    loop_at: float = 0.0
    is_waiting: bool = False
    trouble: str = ""
    deaf_since: float = 0.0
    is_deaf: bool = False
    started_at: float = field(default_factory=time.time)
    life: str = field(default_factory=lambda: uuid4().hex)
    identity: Mapping[str, str] = field(default_factory=dict)

    def state(self, activity: Activity) -> str:
        """Return the worker's state in one word."""
        if self.is_draining or self.is_leaving:
            return "drained" if activity.is_idle and not self.is_leaving else "draining"
        return "deaf" if self.is_deaf else "running"

    def describe(self, activity: Activity) -> dict[str, str]:
        """Return the fields of the announcement; ``clock`` is the time now by the clock of its other times."""
        return {
            "hostname": socket.gethostname(),
            "pid": str(os.getpid()),
            "life": self.life,
            "queues": ",".join(self.queues),
            "paused_queues": ",".join(self.paused_queues),
            "concurrency": str(self.concurrency),
            "processes": str(self.processes),
            "state": self.state(activity),
            "running": json.dumps(sorted(activity.running)),
            "waiting": str(len(activity.waiting)),
            "held": json.dumps(sorted(activity.waiting)),
            "started_at": f"{self.started_at:.0f}",
            "consumed_at": f"{self.consumed_at:.0f}",
            "loop_at": f"{self.loop_at:.0f}",
            "clock": f"{time.time():.0f}",
            "celery": str(celery.__version__),
            **lent.measure(),
            **self.identity,
        }


def look() -> Activity:
    """Return what Celery's books hold now; safe from any thread."""
    running = frozenset(AttemptId(request.id) for request in active_requests())
    reserved = frozenset(AttemptId(request.id) for request in _copy(books.reserved_requests))
    return Activity(running=running, waiting=reserved - running)


def active_requests() -> list[Any]:
    """Return Celery's requests that a task process has."""
    return _copy(books.active_requests)


def waiting_requests() -> list[Any]:
    """Return Celery's requests that no task process has been handed."""
    return [request for request in _not_active() if not _is_handed_out(request)]


def handed_out_requests() -> list[Any]:
    """Return Celery's requests that were handed to a task process and are not confirmed by it yet."""
    return [request for request in _not_active() if _is_handed_out(request)]


def has_process(job: Any) -> bool:
    """Return whether a job of Celery's pool has been handed to a task process."""
    return getattr(job, "_write_to", None) is not None


def _not_active() -> list[Any]:
    running = {request.id for request in active_requests()}
    return [request for request in _copy(books.reserved_requests) if request.id not in running]


def _is_handed_out(request: Any) -> bool:
    return request._apply_result is not None and has_process(request._apply_result())


def _copy(requests: Any) -> list[Any]:
    """Return the members of a set that the main thread changes: a change during the copy means to copy again."""
    while True:
        try:
            return list(requests)
        except RuntimeError:
            continue
