"""How many pods are on their way to their start at once."""

from __future__ import annotations

from typing import Any

from hybrid_executor.states import State

from .conftest import World, wait_until


def elsewhere() -> dict[str, Any]:
    """A pod on a node whose kubelet is the test itself."""
    return {"spec": {"nodeName": "elsewhere", "containers": [{"name": "base", "image": "task:1"}]}}


def say(world: World, name: str, status: dict[str, Any]) -> None:
    """Let a pod's node report a status."""
    world.kube.transport.call(
        "PATCH",
        f"/api/v1/namespaces/default/pods/{name}/status",
        doing="patch status",
        body={"status": status},
        content_type="application/merge-patch+json",
    )


RUNS = {
    "phase": "Running",
    "containerStatuses": [{"name": "base", "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}],
}
FITS_NOWHERE = {
    "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"}]
}


def settled(world: World, count: int) -> set[str]:
    """Return the pods once there are ``count``, and launchers have had their turns without making another."""
    wait_until(lambda: len(world.pods()) >= count, what=f"{count} pods")
    asked = world.store.client.info("commandstats")
    turns = asked["cmdstat_evalsha"]["calls"]
    wait_until(lambda: world.store.client.info("commandstats")["cmdstat_evalsha"]["calls"] > turns + 12)
    names = world.pod_names()
    assert len(names) == count
    return names


def test_agents_together_let_only_so_many_pods_start_at_once(world: World) -> None:
    settings = world.settings(starting_pods="3")
    world.start_agent("agent-1", settings=settings)
    world.start_agent("agent-2", settings=settings, is_watching=False)
    world.submit(pod=elsewhere(), count=12)
    first = settled(world, 3)
    for name in sorted(first)[:2]:
        say(world, name, RUNS)
    second = settled(world, 5)
    # What fits nowhere uses up nothing that others need.
    for name in second - first:
        say(world, name, FITS_NOWHERE)
    settled(world, 7)
    # A pod that is gone is not on its way either.
    [left] = [name for name in first if name not in sorted(first)[:2]]
    world.kube.delete_pod("default", left, uid=None)
    wait_until(lambda: len(world.pod_names() - second) >= 3, what="another pod")


def test_pods_that_start_quickly_are_all_launched(world: World) -> None:
    world.start_agent()
    world.wait_for(State.SUCCEEDED, world.submit(count=100), seconds=60)
    assert world.store.starts.under_way("default")[0] == 0
