"""What the launcher of one cluster needs of warm pods: the choice, the hand-over, and giving way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from hybrid_executor.agent.launch.entries import Prepared
from hybrid_executor.agent.launch.pod_factory import PodFactory
from hybrid_executor.agent.warm.choice import WarmChoice
from hybrid_executor.agent.warm.hand_over import HandOver
from hybrid_executor.agent.warm.tally import WarmTally
from hybrid_executor.agent.warm.writing import WorkloadWriter
from hybrid_executor.complaints import Complaints
from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.kube.refusal import DEFAULT_PATIENCE_SECONDS
from hybrid_executor.metrics import SILENT, Metrics
from hybrid_executor.store import Store

log = logging.getLogger(__name__)


class WarmLaunches:
    """The warm part of one cluster's launches.

    An agent without warm pods has it too: it may take over a hand-over that another agent has begun.

    :ivar tally: hits and misses of this agent.
    :param is_on: some profile of this cluster has warm pods. Without, nothing is asked of Redis.
    """

    def __init__(
        self,
        *,
        cluster: str,
        instance: str,
        client: KubeClient,
        store: Store,
        factory: PodFactory,
        complaints: Complaints,
        is_on: bool = False,
        distrusts_records: Callable[[], bool] = lambda: False,
        metrics: Metrics = SILENT,
        patience_seconds: float = DEFAULT_PATIENCE_SECONDS,
    ) -> None:
        self.tally = WarmTally(cluster=cluster, metrics=metrics)
        self._cluster = cluster
        self._store = store
        self._is_on = is_on
        self._choice = WarmChoice(
            store, cluster=cluster, factory=factory, tally=self.tally, distrusts_records=distrusts_records
        )
        writer = WorkloadWriter(
            cluster=cluster,
            client=client,
            store=store,
            tally=self.tally,
            complaints=complaints,
            patience_seconds=patience_seconds,
        )
        self.hand_over = HandOver(
            writer, instance=instance, client=client, store=store, factory=factory, tally=self.tally
        )

    def choose(self, items: Sequence[Prepared]) -> Sequence[Prepared]:
        """Return the launches with those that have a waiting pod now as claimed; see :meth:`WarmChoice.choose`."""
        return self._choice.choose(items) if self._is_on else items

    def last_call(self, items: Sequence[Prepared]) -> Sequence[Prepared]:
        """Do the same just before the pods of the others are created; see :meth:`WarmChoice.last_call`."""
        return self._choice.last_call(items) if self._is_on else items

    def give_way(self, namespace: str) -> None:
        """Let waiting pods of a namespace be deleted: attempts wait there for a quota or a node."""
        if not self._is_on:
            return
        try:
            self._store.warm.note_shortage(self._cluster, namespace)
        except StoreUnavailable as error:
            log.debug("The shortage in namespace %s could not be noted: %s", namespace, error)
