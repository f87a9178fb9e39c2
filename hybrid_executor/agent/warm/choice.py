"""Which launches get a waiting pod. Launches of profiles without warm pods pass through, at no cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from hybrid_executor.agent.launch.entries import Again, Claimed, Dropped, Prepared, Ready
from hybrid_executor.agent.launch.pod_factory import PodFactory
from hybrid_executor.agent.warm.tally import WarmTally
from hybrid_executor.errors import TaskRejected
from hybrid_executor.states import State
from hybrid_executor.store import Decision, Given, Store, Wish

_ASK_AGAIN_SECONDS = 0.5
_WAITS = "A warm pod is starting; the attempt gets it when it is ready."


class WarmChoice:
    """Asks Redis for waiting pods, by the batch.

    :param distrusts_records: returns whether Redis lost data lately: then attempts may have a pod without a record, so
        each gets a pod of its own, before which the cluster is asked for such a pod.
    """

    def __init__(
        self,
        store: Store,
        *,
        cluster: str,
        factory: PodFactory,
        tally: WarmTally,
        distrusts_records: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._cluster = cluster
        self._factory = factory
        self._tally = tally
        self._distrusts_records = distrusts_records
        self._clock = clock

    def choose(self, items: Sequence[Prepared]) -> list[Prepared]:
        """Return the items, with those that have a waiting pod now as claimed. One round trip, none without need.

        :raises StoreUnavailable: Redis unavailable; all may be chosen again.
        """
        wishes = {index: wish for index, item in enumerate(items) if (wish := self._wish(item)) is not None}
        answers = self._store.warm.give(list(wishes.values())) if wishes else []
        chosen = list(items)
        for index, given in zip(wishes, answers, strict=True):
            ready = chosen[index]
            assert isinstance(ready, Ready)
            chosen[index] = self._follow(ready, given)
        return chosen

    def last_call(self, items: Sequence[Prepared]) -> list[Prepared]:
        """Do what :meth:`choose` does for launches whose own pod would be created next.

        Warm pods may have become ready while they waited for their turn.

        :raises StoreUnavailable: Redis unavailable; this may be repeated.
        """
        wishes = {index: wish for index, item in enumerate(items) if (wish := self._late_wish(item)) is not None}
        answers = self._store.warm.give(list(wishes.values()), is_last_call=True) if wishes else []
        chosen = list(items)
        for (index, wish), given in zip(wishes.items(), answers, strict=True):
            ready = chosen[index]
            assert isinstance(ready, Ready)
            if given.pod or given.decision is Decision.NOTHING_TO_LAUNCH:
                chosen[index] = self._follow(ready, given)
            else:
                self._tally.miss(wish.profile, "none_waiting")
        return chosen

    def _late_wish(self, item: Prepared) -> Wish | None:
        if not isinstance(item, Ready) or item.why_cold != "" or item.record.state is not State.SUBMITTED:
            return None
        kind, reason = self._fitting(item)
        return None if reason else self._make_wish(item, kind)

    def _wish(self, item: Prepared) -> Wish | None:
        if not isinstance(item, Ready) or item.why_cold is None:
            return None
        kind, reason = ("", item.why_cold) if item.why_cold else self._fitting(item)
        if reason:
            self._tally.miss(item.record.profile, reason)
            return None
        return self._make_wish(item, kind)

    def _make_wish(self, item: Ready, kind: str) -> Wish:
        record = item.record
        return Wish(
            attempt=record.id,
            generation=record.generation,
            cluster=self._cluster,
            profile=record.profile,
            kind=kind,
        )

    def _fitting(self, ready: Ready) -> tuple[str, str]:
        """Return the kind of pods that fit, or why none may be given now."""
        kind, reason = self._kind(ready)
        if not reason and self._distrusts_records():
            reason = "redis"
        if not reason and self._tally.is_forbidden(ready.manifest.namespace, now=self._clock()):
            reason = "forbidden"
        return kind, reason

    def _kind(self, ready: Ready) -> tuple[str, str]:
        """Return the kind of pods that fit, or why there is none."""
        profile = self._factory.warm_profile(ready.record)
        if profile is None:
            return "", "off"
        try:
            return self._factory.build_waiting(profile).kind, ""
        except TaskRejected:
            return "", "rejected"

    def _follow(self, ready: Ready, given: Given) -> Prepared:
        if given.decision is Decision.NOTHING_TO_LAUNCH:
            return Dropped(ready.launch)
        if given.decision is Decision.NOT_YET:
            return Again(ready.launch, _ASK_AGAIN_SECONDS, _WAITS)
        if given.pod:
            return Claimed(ready.launch, ready.record, given.pod, ready.payload, given.decision is Decision.NOW)
        return ready
