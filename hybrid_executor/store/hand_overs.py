"""Pods that wait for their workload: that it is handed over once, and new workloads for those that have expired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import redis

from hybrid_executor.events import AttemptId
from hybrid_executor.states import State
from hybrid_executor.store.keys import Keys
from hybrid_executor.store.scripts import calls, run_script, run_scripts
from hybrid_executor.store.translation import translated

_NOT_STARTED = (State.SUBMITTED, State.LAUNCHING, State.PENDING)


@dataclass(frozen=True)
class Waiter:
    """An attempt whose pod runs and waits for its workload."""

    attempt: AttemptId
    generation: int
    namespace: str
    pod: str


@dataclass(frozen=True)
class Renewal:
    """A new workload for an attempt of this generation. It holds a token."""

    attempt: AttemptId
    generation: int
    payload: str = field(repr=False)


class HandOvers:
    """The hand-overs of one instance.

    :param payload_seconds: how long a workload may wait; its token lives no longer.
    """

    def __init__(self, client: redis.Redis, keys: Keys, *, payload_seconds: int) -> None:
        self._client = client
        self._keys = keys
        self._payload_seconds = payload_seconds

    @translated
    def due(self, waiters: Sequence[Waiter]) -> int:
        """Have workloads handed over, by any agent; return how many of these were not known to wait. May be repeated.

        Those whose attempt is not pending, or has another generation by now, are left out.
        """
        answers = run_scripts(
            self._client,
            [
                calls.Due(
                    attempt_key=self._keys.attempt(waiter.attempt),
                    prefix=self._keys.prefix,
                    id=waiter.attempt,
                    generation=waiter.generation,
                    namespace=waiter.namespace,
                    pod=waiter.pod,
                )
                for waiter in waiters
            ],
        )
        return sum(int(answer) > 0 for answer in answers)

    @translated
    def want(self, attempt: AttemptId, *, generation: int) -> bool:
        """Ask the owner of an attempt for a new workload; return whether there is still something to ask for."""
        call = calls.Want(
            attempt_key=self._keys.attempt(attempt),
            events_key=self._keys.events,
            id=attempt,
            generation=generation,
        )
        return bool(run_script(self._client, call))

    @translated
    def renew(self, renewals: Sequence[Renewal]) -> int:
        """Give attempts that have not started a new workload; return how many still needed it. May be repeated."""
        answers = run_scripts(
            self._client,
            [
                calls.Renew(
                    attempt_key=self._keys.attempt(renewal.attempt),
                    payload_key=self._keys.payload(renewal.attempt),
                    generation=renewal.generation,
                    states=_NOT_STARTED,
                    payload=renewal.payload,
                    payload_seconds=self._payload_seconds,
                )
                for renewal in renewals
            ],
        )
        return sum(int(answer) for answer in answers)
