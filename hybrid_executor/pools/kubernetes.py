"""The Kubernetes pool: work becomes an entry on the launch stream of its cluster. No Kubernetes call is made here."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hybrid_executor.kube.overrides import normalise_executor_config
from hybrid_executor.pools.work import Work
from hybrid_executor.store import Attempts, Record, Submission


class KubernetesPool:
    """Hands work to the agents."""

    name = "kubernetes"

    @property
    def has_own_broker(self) -> bool:
        """Nothing is sent but what the store holds."""
        return False

    def prepare(self, work: Work) -> Submission:
        """Return what the store needs to submit ``work``.

        :raises TaskRejected: its executor_config cannot be used; the message says what to write instead.
        """
        overrides = normalise_executor_config(work.executor_config)
        return Submission(
            attempt=work.attempt,
            owner=work.owner,
            pool=self.name,
            fields={**work.record_fields(), "cluster": work.profile.cluster},
            payload=work.workload_json,
            overrides=json.dumps(overrides, separators=(",", ":")) if overrides else "",
            cluster=work.profile.cluster,
            expected_generation=work.expected_generation,
        )

    def publish(self, batch: Sequence[Work]) -> list[Work]:
        """Nothing is left to send."""
        return []

    def unsend(self, attempts: Attempts, record: Record, payload: str) -> bool:
        """Launches of a revoked attempt are dropped by the agents; nothing is taken back here."""
        return False

    def lost(self, attempts: Attempts, records: Sequence[Record]) -> list[Record]:
        """Not known here."""
        return []
