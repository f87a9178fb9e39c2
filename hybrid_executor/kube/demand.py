"""What a pod asks of its namespace, in the terms of resource quotas. Pure.

Source of the counting rules: https://kubernetes.io/docs/concepts/policy/resource-quotas/ and, for init containers,
https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#resource-sharing-within-containers
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hybrid_executor.kube.quantities import quantity

_Raw = Mapping[str, Any]
Amounts = Mapping[str, Decimal]

_COUNTS = ("pods", "count/pods")
_NATIVE = ("cpu", "memory", "ephemeral-storage")


@dataclass(frozen=True, slots=True)
class Demand:
    """The kind of a pod: two pods with the same demand are accepted or refused together.

    :ivar scope: what decides which quotas count the pod: priority class, deadline or not, best effort or not.
    :ivar amounts: what it asks for, by the quota's name of the resource (``requests.nvidia.com/gpu``, ``pods``, ...).
    """

    namespace: str
    account: str
    scope: tuple[str, bool, bool]
    amounts: tuple[tuple[str, Decimal], ...]

    def amount(self, resource: str) -> Decimal:
        """Return how much of a resource it asks for, 0 where it does not say."""
        return next((amount for name, amount in self.amounts if name == resource), Decimal(0))

    @property
    def resources(self) -> frozenset[str]:
        """The names of the resources that it asks for."""
        return frozenset(name for name, amount in self.amounts if amount)

    def asks_for_any(self, refused: Amounts) -> bool:
        """Return whether it asks for at least as much of any resource as a request that was refused."""
        return any(0 < amount <= self.amount(resource) for resource, amount in refused.items())


def demand_of(pod: _Raw, *, namespace: str) -> Demand:
    """Return what a manifest asks for. Quantities that cannot be read count as not given: the server refuses them."""
    spec: _Raw = pod.get("spec") or {}
    requests, limits = _total(spec, "requests"), _total(spec, "limits")
    amounts = dict.fromkeys(_COUNTS, Decimal(1))
    for name, amount in requests.items():
        amounts[f"requests.{name}"] = amount
        if name in _NATIVE:
            amounts[name] = amount
    for name, amount in limits.items():
        amounts[f"limits.{name}"] = amount
    is_best_effort = not any(name in total for total in (requests, limits) for name in ("cpu", "memory"))
    scope = (str(spec.get("priorityClassName") or ""), spec.get("activeDeadlineSeconds") is not None, is_best_effort)
    account = str(spec.get("serviceAccountName") or "default")
    return Demand(namespace, account, scope, tuple(sorted(amounts.items())))


def _total(spec: _Raw, kind: str) -> dict[str, Decimal]:
    """Return the sum over the containers that run side by side, or one init container where that is more."""
    total = _sum(_of(container, kind) for container in spec.get("containers") or ())
    sidecars: dict[str, Decimal] = {}
    peak: dict[str, Decimal] = {}
    for container in spec.get("initContainers") or ():
        asked = _of(container, kind)
        if container.get("restartPolicy") == "Always":
            sidecars = _sum((sidecars, asked))
            asked = {}
        peak = _most(peak, _sum((sidecars, asked)))
    total = _most(_sum((total, sidecars)), peak)
    total.update(_of(spec, kind))  # what is set for the pod as a whole wins
    return _sum((total, _amounts(spec.get("overhead")))) if total else total


def _of(holder: _Raw, kind: str) -> dict[str, Decimal]:
    resources: _Raw = holder.get("resources") or {}
    asked = _amounts(resources.get(kind))
    return {**_amounts(resources.get("limits")), **asked} if kind == "requests" else asked


def _amounts(texts: Any) -> dict[str, Decimal]:
    found = {}
    for name, text in (texts or {}).items():
        try:
            found[str(name)] = quantity(text)
        except ValueError:
            continue
    return found


def _sum(parts: Iterable[Mapping[str, Decimal]]) -> dict[str, Decimal]:
    total: dict[str, Decimal] = {}
    for part in parts:
        for name, amount in part.items():
            total[name] = total.get(name, Decimal(0)) + amount
    return total


def _most(one: Mapping[str, Decimal], other: Mapping[str, Decimal]) -> dict[str, Decimal]:
    return {name: max(one.get(name, Decimal(0)), other.get(name, Decimal(0))) for name in {*one, *other}}
