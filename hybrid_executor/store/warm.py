"""Waiting pods: which there are, which attempt gets one, and how many were asked for lately."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import redis

from hybrid_executor.events import AttemptId
from hybrid_executor.store.keys import Keys
from hybrid_executor.store.leases import Lease
from hybrid_executor.store.scripts import calls, run_script, run_scripts
from hybrid_executor.store.translation import translated
from hybrid_executor.store.wrong_types import is_wrong_type

BUCKET_SECONDS = 10
_KEPT_SECONDS = 3600
_LIVE_SECONDS = 30 * 86400
_SHORTAGE_SECONDS = 30
_STARTING_SECONDS = 15
WAIT_SECONDS = 10
"""About as long as a pod takes to become ready. Who has waited so long gets a pod of its own."""


class Decision(IntEnum):
    """How an attempt's pod was decided on."""

    NOTHING_TO_LAUNCH = 0
    NOW = 1
    BEFORE = 2
    NOT_YET = 3


@dataclass(frozen=True)
class Given:
    """The answer to a wish.

    :ivar pod: ``namespace/name`` of the waiting pod that the attempt has, "" if it gets a pod of its own.
    """

    decision: Decision
    pod: str


@dataclass(frozen=True, kw_only=True)
class Wish:
    """An attempt that may have a waiting pod.

    :ivar kind: of the pods that fit it.
    """

    attempt: AttemptId
    generation: int
    cluster: str
    profile: str
    kind: str


@dataclass(frozen=True)
class Taken:
    """A pod that was given away and still looks as if it waited; ``since`` in milliseconds on the server's clock."""

    pod: str
    attempt: AttemptId
    since: int


class WarmPodStore:
    """The waiting pods of one instance."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    @translated
    def give(self, wishes: Sequence[Wish], *, is_last_call: bool = False) -> list[Given]:
        """Decide for each attempt which waiting pod it gets, or none; one round trip. See ``givewarm.lua``.

        :param is_last_call: a pod of its own is created next for each that gets none.
        """
        answers = run_scripts(
            self._client,
            [
                calls.GiveWarm(
                    attempt_key=self._keys.attempt(wish.attempt),
                    events_key=self._keys.events,
                    warm_ready_key=self._keys.warm_ready(wish.cluster, wish.kind),
                    warm_taken_key=self._keys.warm_taken(wish.cluster, wish.kind),
                    warm_starting_key=self._keys.warm_starting(wish.cluster, wish.kind),
                    warm_waiters_key=self._keys.warm_waiters(wish.cluster, wish.kind),
                    warm_demand_key=self._keys.warm_demand(wish.cluster, wish.profile),
                    id=wish.attempt,
                    generation=wish.generation,
                    is_last_call=is_last_call,
                    wait_seconds=WAIT_SECONDS,
                    bucket_seconds=BUCKET_SECONDS,
                    kept_seconds=_KEPT_SECONDS,
                    live_seconds=_LIVE_SECONDS,
                )
                for wish in wishes
            ],
        )
        return [Given(Decision(int(code)), str(pod)) for code, pod in answers]

    @translated
    def offer(
        self,
        cluster: str,
        kind: str,
        pods: Sequence[str],
        *,
        also_seen: Sequence[str] = (),
        starting: int = 0,
        wait_seconds: int = WAIT_SECONDS,
        lease: Lease,
    ) -> list[Taken] | None:
        """Say which pods of a kind wait; return those pods that were given away already.

        :param also_seen: pods that wait and are not to be given to anybody.
        :param starting: how many will be ready soon. Attempts wait for them, if this is said again every few seconds.
        :param wait_seconds: for so long.
        :return: ``None`` where another keeper holds the lease by now: nothing was changed.
        """
        answer = run_script(
            self._client,
            calls.OfferWarm(
                lease_key=self._keys.lease(lease.name),
                warm_ready_key=self._keys.warm_ready(cluster, kind),
                warm_taken_key=self._keys.warm_taken(cluster, kind),
                warm_starting_key=self._keys.warm_starting(cluster, kind),
                fence=lease.fence,
                starting=starting,
                wait_seconds=wait_seconds,
                starting_seconds=_STARTING_SECONDS,
                kept_seconds=_KEPT_SECONDS,
                offered_count=len(pods),
                pods=(*pods, *(pod for pod in also_seen if pod not in pods)),
            ),
        )
        if not isinstance(answer, list):
            return None
        return [_taken(str(pod), str(told)) for pod, told in zip(answer[1::2], answer[2::2], strict=True)]

    @translated
    def demand(self, cluster: str, profile: str) -> Mapping[int, int]:
        """Return how many attempts asked for a pod, by the number of the ten seconds since 1970 in which they did."""
        try:
            found = self._client.hgetall(self._keys.warm_demand(cluster, profile))
        except redis.ResponseError as error:
            if is_wrong_type(error):
                return {}
            raise
        return {int(bucket): int(count) for bucket, count in found.items() if str(bucket).isdecimal()}

    @translated
    def forget_demand(self, cluster: str, profile: str, buckets: Sequence[int]) -> None:
        """Forget what was asked for long ago."""
        if buckets:
            self._client.hdel(self._keys.warm_demand(cluster, profile), *map(str, buckets))

    @translated
    def note_shortage(self, cluster: str, namespace: str) -> None:
        """Say that attempts of a namespace wait for a quota or a node: for half a minute no pod waits there."""
        self._client.set(self._keys.warm_shortage(cluster, namespace), "", ex=_SHORTAGE_SECONDS)

    @translated
    def is_short(self, cluster: str, namespace: str) -> bool:
        """Return whether attempts of a namespace waited for a quota or a node lately."""
        return bool(self._client.exists(self._keys.warm_shortage(cluster, namespace)))


def _taken(pod: str, told: str) -> Taken:
    attempt, _, since = told.partition(" ")
    return Taken(pod, AttemptId(attempt), int(since) if since.isdecimal() else 0)
