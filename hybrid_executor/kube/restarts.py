"""Whether the node starts an ended container again. Pure.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-restarts. A container may have a
``restartPolicy`` of its own, and ``restartPolicyRules`` by exit code, which take precedence (KEP-5307).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_Raw = Mapping[str, Any]

_RESTARTS = frozenset({"Restart", "RestartAllContainers"})


def is_started_again(spec: _Raw, container: str, exit_code: int | None) -> bool:
    """Return whether the kubelet starts a container of a live pod again after it ended with ``exit_code``.

    :param spec: the pod's spec. Without a policy it counts as ``Never``, as in our pods.
    """
    declared: _Raw = next((one for one in spec.get("containers") or () if one.get("name") == container), {})
    for rule in declared.get("restartPolicyRules") or ():
        if _matches(rule.get("exitCodes") or {}, exit_code):
            return rule.get("action") in _RESTARTS
    policy = declared.get("restartPolicy") or spec.get("restartPolicy") or "Never"
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def _matches(exit_codes: _Raw, exit_code: int | None) -> bool:
    if exit_code is None:
        return False
    is_listed = exit_code in (exit_codes.get("values") or ())
    operator = exit_codes.get("operator")
    return (operator == "In" and is_listed) or (operator == "NotIn" and not is_listed)
