"""The steps of a launch that wait for the cluster, as the launcher's threads run them. They never raise."""

from __future__ import annotations

import logging
from collections.abc import Callable

from hybrid_executor.agent.launch.creation import PodCreator
from hybrid_executor.agent.launch.entries import Again, Claimed, Created, HandOverResult, Ready, Tried, Withdrawn
from hybrid_executor.agent.launch.preparation import PUT_OFF_SECONDS
from hybrid_executor.agent.launch.withdrawal import Withdrawals
from hybrid_executor.agent.warm.hand_over import HandOver
from hybrid_executor.errors import StoreUnavailable

log = logging.getLogger(__name__)

_REDIS_PAUSE_SECONDS = 1.0


class LaunchJobs:
    """Creates pods, and hands workloads over to waiting ones.

    :param on_namespace: called with each namespace in which a pod was created.
    """

    def __init__(
        self,
        creator: PodCreator,
        hand_over: HandOver,
        withdrawals: Withdrawals,
        *,
        on_namespace: Callable[[str], None],
    ) -> None:
        self._creator = creator
        self._hand_over = hand_over
        self._withdrawals = withdrawals
        self._on_namespace = on_namespace

    def run(self, item: Ready | Claimed | Withdrawn) -> Tried | HandOverResult:
        """Create the launch's pod, hand its workload over to the waiting pod that it has, or look for its pod."""
        if isinstance(item, Withdrawn):
            return self._withdrawals.look(item)
        return self._create(item) if isinstance(item, Ready) else self._give(item)

    def _create(self, ready: Ready) -> Tried:
        try:
            outcome = self._creator.create(ready)
        except Exception:
            log.exception("The pod of %s could not be created and is tried again", ready.record.name)
            return Again(ready.launch, PUT_OFF_SECONDS)
        if isinstance(outcome, Created):
            # Not earlier: a namespace that a task misspelt gets no pod and needs no watcher.
            self._on_namespace(outcome.namespace)
        return outcome

    def _give(self, claimed: Claimed) -> HandOverResult:
        self._on_namespace(claimed.namespace)
        try:
            return self._hand_over.run(claimed)
        except StoreUnavailable as error:
            return Again(claimed.launch, _REDIS_PAUSE_SECONDS, f"Waiting for Redis: {error}")
        except Exception:
            log.exception("The workload of %s could not be handed over; this is tried again", claimed.record.name)
            return Again(claimed.launch, PUT_OFF_SECONDS)
