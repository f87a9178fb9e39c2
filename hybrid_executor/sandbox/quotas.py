"""Resource quotas for the number of pods and for their requests."""

from __future__ import annotations

from decimal import Decimal

from hybrid_executor.kube.demand import demand_of
from hybrid_executor.kube.quantities import quantity
from hybrid_executor.sandbox.cluster import Cluster
from hybrid_executor.sandbox.objects import PODS, QUOTAS, Object, name_of, namespace_of
from hybrid_executor.sandbox.status import forbidden

ALL = "count/pods"
"""Counts every pod that exists; all other limits count pods that have not ended."""

COMPUTE = frozenset({"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"})
"""What pods have to say where a quota limits it."""


def check_quotas(cluster: Cluster, pod: Object) -> None:
    """Refuse a pod that would exceed a quota of its namespace, or does not say what the quota limits.

    :raises StatusError: 403, "exceeded quota" or "failed quota".
    """
    namespace = namespace_of(pod)
    demand = demand_of(pod, namespace=namespace)
    for quota in cluster.select(QUOTAS, namespace):
        hard = {limit: text for limit, text in (quota["spec"].get("hard") or {}).items() if _is_counted(limit)}
        unsaid = sorted(limit for limit in hard if limit in COMPUTE and not demand.amount(limit))
        if unsaid:
            why = f"failed quota: {name_of(quota)}: must specify {','.join(unsaid)}"
            raise forbidden(PODS, name_of(pod), why)
        exceeded = []
        for limit in sorted(hard):
            asked, used = demand.amount(limit), _used(cluster, namespace, limit)
            if asked and used + asked > quantity(hard[limit]):
                exceeded.append((f"{limit}={_text(asked)}", f"{limit}={_text(used)}", f"{limit}={hard[limit]}"))
        if exceeded:
            requested, used_now, limited = (",".join(texts) for texts in zip(*exceeded, strict=True))
            why = f"exceeded quota: {name_of(quota)}, requested: {requested}, used: {used_now}, limited: {limited}"
            raise forbidden(PODS, name_of(pod), why)


def with_usage(cluster: Cluster, quota: Object) -> Object:
    """Return the quota with the status that the quota controller gives it."""
    hard = quota["spec"].get("hard") or {}
    namespace = namespace_of(quota)
    used = {limit: _text(_used(cluster, namespace, limit)) for limit in hard if _is_counted(limit)}
    return {**quota, "status": {"hard": hard, "used": used}}


def _is_counted(limit: str) -> bool:
    return limit in {"pods", ALL} or limit in COMPUTE or limit.startswith(("requests.", "limits."))


def _used(cluster: Cluster, namespace: str, limit: str) -> Decimal:
    pods = cluster.select(PODS, namespace)
    if limit == ALL:
        return Decimal(len(pods))
    counted = [pod for pod in pods if pod["status"].get("phase") not in {"Succeeded", "Failed"}]
    if limit == "pods":
        return Decimal(len(counted))
    return sum((demand_of(pod, namespace=namespace).amount(limit) for pod in counted), Decimal(0))


def _text(amount: Decimal) -> str:
    return format(amount.normalize(), "f")
