"""Creates waiting pods, within the rate and the limit of starting pods that all launches of a cluster share."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from hybrid_executor.agent.launch.pod_factory import WaitingPod
from hybrid_executor.errors import KubeError
from hybrid_executor.events import AttemptId
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.kube.refusal import judge_create_error
from hybrid_executor.kube.warm_pod import with_name
from hybrid_executor.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Refused:
    """Why no more pods can be created now; ``seconds`` is how long the server asked to wait."""

    words: str
    seconds: float

    def __str__(self) -> str:
        return self.words


class WaitingPodMaker:
    """Creates the waiting pods of one cluster.

    :param pods_per_second, most_starting: the limits of the cluster's launches.
    """

    def __init__(
        self, client: KubeClient, store: Store, *, cluster: str, pods_per_second: float, most_starting: int
    ) -> None:
        self._client = client
        self._store = store
        self._cluster = cluster
        self._pods_per_second = pods_per_second
        self._most_starting = most_starting

    def make(self, waiting: WaitingPod, names: Sequence[str]) -> Refused | None:
        """Create pods of these names, as many as may start now; return why it stopped, if the cluster refused one.

        :raises StoreUnavailable: Redis unavailable.
        """
        ids = [AttemptId(name) for name in names]
        starting = self._store.starts.admit(self._cluster, ids, most=self._most_starting)
        granted, _ = self._store.rates.take(
            self._cluster,
            wanted=starting,
            per_second=self._pods_per_second,
            capacity=max(1, int(self._pods_per_second)),
        )
        made = 0
        try:
            for name in names[:granted]:
                self._client.create_pod(waiting.namespace, with_name(waiting.pod, name=name, kind=waiting.kind))
                log.info("Created waiting pod %s/%s", waiting.namespace, name)
                made += 1
        except KubeError as error:
            refusal = judge_create_error(error)
            return Refused(refusal.reason, refusal.retry_after_seconds)
        finally:
            if made < starting:
                self._store.starts.leave(self._cluster, ids[made:starting])
        return None

    def is_ready(self, name: str) -> None:
        """Note that a pod is not starting any more.

        :raises StoreUnavailable: Redis unavailable.
        """
        self._store.starts.leave(self._cluster, [AttemptId(name)])
