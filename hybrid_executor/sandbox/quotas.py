"""Resource quotas on the number of pods."""

from __future__ import annotations

from hybrid_executor.sandbox.cluster import Cluster
from hybrid_executor.sandbox.objects import PODS, QUOTAS, Object, name_of, namespace_of
from hybrid_executor.sandbox.quantities import quantity
from hybrid_executor.sandbox.status import forbidden

COUNTED = ("pods", "count/pods")
"""The limits that are enforced. ``pods`` counts pods that have not ended, ``count/pods`` all that exist."""


def check_quotas(cluster: Cluster, pod: Object) -> None:
    """Refuse a pod that would exceed a quota of its namespace.

    :raises StatusError: 403, "exceeded quota".
    """
    for quota in cluster.select(QUOTAS, namespace_of(pod)):
        hard = quota["spec"].get("hard") or {}
        exceeded = []
        for limit in COUNTED:
            if limit in hard:
                used = _used(cluster, namespace_of(pod), limit)
                if used + 1 > quantity(hard[limit]):
                    exceeded.append((f"{limit}=1", f"{limit}={used}", f"{limit}={hard[limit]}"))
        if exceeded:
            requested, used_now, limited = (",".join(texts) for texts in zip(*exceeded, strict=True))
            why = f"exceeded quota: {name_of(quota)}, requested: {requested}, used: {used_now}, limited: {limited}"
            raise forbidden(PODS, name_of(pod), why)


def with_usage(cluster: Cluster, quota: Object) -> Object:
    """Return the quota with the status that the quota controller gives it."""
    hard = quota["spec"].get("hard") or {}
    used = {limit: str(_used(cluster, namespace_of(quota), limit)) for limit in COUNTED if limit in hard}
    return {**quota, "status": {"hard": hard, "used": used}}


def _used(cluster: Cluster, namespace: str, limit: str) -> int:
    pods = cluster.select(PODS, namespace)
    if limit == "count/pods":
        return len(pods)
    return sum(pod["status"].get("phase") not in {"Succeeded", "Failed"} for pod in pods)
