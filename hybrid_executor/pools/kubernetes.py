"""The Kubernetes pool: work becomes an entry on the launch stream of its cluster. No Kubernetes call is made here."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from hybrid_executor.errors import TaskRejected
from hybrid_executor.events import Kind
from hybrid_executor.kube.overrides import read_overrides
from hybrid_executor.pools.work import Work
from hybrid_executor.store import Record, Store, Submission


class KubernetesPool:
    """Hands work to the agents.

    :param kinds: what can be run in a pod.
    """

    name = "kubernetes"

    def __init__(self, *, kinds: Collection[Kind] = ("task", "callback", "connection_test")) -> None:
        self._kinds = kinds

    @property
    def has_own_broker(self) -> bool:
        """Nothing is sent but what the store holds."""
        return False

    def list_key(self, queue: str) -> str:
        """Pods come from no list."""
        return ""

    def prepare(self, work: Work) -> Submission:
        """Return what the store needs to submit ``work``.

        :raises TaskRejected: it cannot be run in a pod, or not with its executor_config; the message says what to
            write instead.
        """
        if work.kind not in self._kinds:
            raise TaskRejected(
                f"Pods of this Airflow release cannot run a {work.kind}: route its queue, {work.queue!r}, to celery in "
                "[hybrid_executor] routes, or upgrade Airflow"
            )
        return Submission(
            attempt=work.attempt,
            owner=work.owner,
            pool=self.name,
            fields={**work.record_fields(), "cluster": work.profile.cluster},
            payload=work.payload,
            overrides=read_overrides(work.executor_config).to_text(),
            cluster=work.profile.cluster,
            expected_generation=work.expected_generation,
            placement=work.placement,
        )

    def close(self) -> None:
        """There is no connection to give up."""

    def publish(self, batch: Sequence[Work]) -> list[Work]:
        """Nothing is left to send."""
        return []

    def take_refused(self) -> list[tuple[Work, str]]:
        """Nothing is sent, so nothing is refused."""
        return []

    def unsend(self, store: Store, record: Record, payload: str) -> bool:
        """Launches of a revoked attempt are dropped by the agents; nothing is taken back here."""
        return False

    def oldest_waiting(self, store: Store, queue: str) -> float:
        """Not known here."""
        return math.inf

    def lost(self, store: Store, records: Sequence[Record]) -> list[Record]:
        """Not known here."""
        return []
