"""KEDA's and the HorizontalPodAutoscaler's arithmetic, as far as it decides about a Deployment's replicas.

From KEDA (``pkg/scaling/executor/scale_scaledobjects.go``, ``pkg/fallback``): KEDA itself starts the first replica
where a value is greater than ``activationTargetValue``, and sets 0 where it was not for ``cooldownPeriod``; never while
the scaler answers with an error. From Kubernetes (``GetExternalPerPodMetricReplicas``): in between, it wants
``ceil(value / targetValue)`` replicas, unless that differs by at most a tenth from what there is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_TOLERANCE = 0.1


@dataclass
class ScaledDeployment:
    """A Deployment with a ScaledObject. Times are seconds.

    :ivar active_at: when a value was last greater than ``activation``.
    """

    target: float
    least: int = 0
    most: int = 100
    activation: float = 0.0
    cooldown: float = 300.0
    fallback: int | None = None
    failures_until_fallback: int = 3
    replicas: int = 0
    active_at: float = float("-inf")
    failures: int = 0

    def poll(self, value: float | None, *, now: float) -> int:
        """Take in a value, ``None`` for an error; return the replicas."""
        if value is None:
            return self._fail()
        self.failures = 0
        if value > self.activation:
            self.active_at = now
            if self.replicas == 0:
                self.replicas = max(1, self.least)
        elif now - self.active_at > self.cooldown and self.least == 0:
            self.replicas = 0
        if self.replicas > 0:
            self.replicas = min(self.most, max(self.least, 1, self._wanted(value)))
        return self.replicas

    def _wanted(self, value: float) -> int:
        ratio = value / (self.target * self.replicas)
        return self.replicas if abs(1 - ratio) <= _TOLERANCE else math.ceil(value / self.target)

    def _fail(self) -> int:
        """``currentReplicasIfHigher``: at least the fallback, never fewer than there are."""
        self.failures += 1
        if self.fallback is not None and self.failures >= self.failures_until_fallback:
            self.replicas = max(self.replicas, self.fallback)
        return self.replicas
