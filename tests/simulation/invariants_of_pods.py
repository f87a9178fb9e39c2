"""What must hold for pods: whose they are while they live, and what is left of them at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hybrid_executor.agent.identity import identify
from hybrid_executor.kube.awaiting_pod import AWAITED, hand_over_state
from hybrid_executor.kube.names import done_patch
from hybrid_executor.kube.warm_pod import CLAIMED
from hybrid_executor.sandbox.history import Change
from hybrid_executor.sandbox.objects import PODS
from hybrid_executor.store.keys import Keys
from tests.simulation.names import INSTANCE

if TYPE_CHECKING:
    from tests.simulation.history import History
    from tests.simulation.kube_server import KubeServer


class PodOwners:
    """A pod has one attempt in its life, and a launch of an attempt has its workload in one pod.

    :param has_lost_data: returns whether Redis has lost data: then a launch may be made again.
    :ivar with_workload: names of the pods that have accepted a workload.
    """

    def __init__(self, server: KubeServer, *, has_lost_data: Callable[[], bool]) -> None:
        self._has_lost_data = has_lost_data
        self._accepted: dict[tuple[str, int], str] = {}
        self._made: dict[tuple[str, int], str] = {}
        self.with_workload: set[str] = set()
        self.violations: list[str] = []
        server.listen(self._look)

    def _look(self, change: Change) -> None:
        if change.resource is not PODS or change.after is None:
            return
        if change.before is None:
            self._look_at_new(change.after)
            return
        before, after = identify(change.before), identify(change.after)
        if before is not None and (after is None or after.attempt != before.attempt):
            became = "nobody's" if after is None else f"of attempt {after.attempt[:8]}"
            self.violations.append(f"pod {before.name} of attempt {before.attempt[:8]} became {became}")

    def _look_at_new(self, pod: dict[str, Any]) -> None:
        """A launch has one name for its pod, however often its creation is tried again."""
        identity = identify(pod)
        if identity is None:
            return
        name = self._made.setdefault((identity.attempt, identity.launch), identity.name)
        if name != identity.name and not self._has_lost_data():
            self.violations.append(
                f"one launch of attempt {identity.attempt[:8]} has the pods {name} and {identity.name}"
            )

    def accepts(self, stored: dict[str, Any], attempt: str) -> None:
        """Note that a pod has accepted a workload by its standard input."""
        name, identity = stored["metadata"]["name"], identify(stored)
        self.with_workload.add(name)
        if identity is None or identity.attempt != attempt:
            whose = "nobody" if identity is None else f"attempt {identity.attempt[:8]}"
            self.violations.append(f"pod {name} of {whose} has got the workload of attempt {attempt[:8]}")
            return
        other = self._accepted.setdefault((attempt, identity.generation), name)
        if other != name and not self._has_lost_data():
            self.violations.append(
                f"one launch of attempt {attempt[:8]} has its workload in the pods {other} and {name}"
            )


def left_pods(history: History) -> list[str]:
    """A pod is gone in the end, or it has ended, is kept, and is marked so.

    Pods of a Redis that no agent remembers after it lost its data may belong to another deployment: they are left. So
    are pods that wait for an attempt, and those that wait for a workload whose record is lost: they end by themselves.
    """
    assert history.kube is not None
    found, keys, server = [], Keys(INSTANCE), history.server
    known = server.peek(keys.identities) or ()
    for pod in history.kube.server.all_pods():
        identity = identify(pod)
        has_record = identity is not None and server.peek(keys.attempt(identity.attempt)) is not None
        if identity is None or (identity.redis_id not in known and not has_record):
            continue
        waits = (
            hand_over_state(pod) in (AWAITED, CLAIMED)
            and pod["metadata"]["name"] not in history.kube.owners.with_workload
        )
        if waits and not has_record:
            continue
        has_ended = pod["status"].get("phase") in ("Succeeded", "Failed")
        is_marked = all(
            item in pod["metadata"]["labels"].items() for item in done_patch()["metadata"]["labels"].items()
        )
        if not (has_ended and is_marked):
            found.append(f"pod {pod['metadata']['name']} is left over, {pod['status'].get('phase')}")
    return found
