"""Agents that are killed between two steps, or paused while they lead: pods are created once, ends count once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

from tests.fault.course import course, wait_begun, wait_records
from tests.fault.deployment import NAMESPACES, Deployment
from tests.faulty_sandbox import Fault
from tests.store_view import lease_holder
from tests.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(1200)]


def watcher_of(deployment: Deployment, namespace: str = "default") -> str:
    return lease_holder(deployment.store, f"watch:default:{namespace}")


def child_pid(deployment: Deployment) -> int:
    """Return the agent that the first scheduler has started."""
    name = f"airflow-{deployment.job_of(deployment.schedulers[0])}"

    def find() -> int:
        members = deployment.store.presence.members("agent")
        return next((int(m.fields["pid"]) for m in members if m.name == name and m.is_alive), 0)

    return wait_until(find, what=f"{name} is there")


def kill_agents(deployment: Deployment) -> None:
    """Kill all agents at once; the one of the scheduler is started again by that."""
    os.kill(child_pid(deployment), 9)
    for name in deployment.agents:
        deployment.part(name).kill()


def let_creations_wait(deployment: Deployment, run: str) -> None:
    """Agents have claimed their entries, and no pod has been created."""
    rule = deployment.sandbox.faults.add(Fault("slow", method="POST", path="/pods$", delay_seconds=3))
    wait_until(lambda: deployment.sandbox.faults.hits(rule), what="a pod is being created")


def let_answers_get_lost(deployment: Deployment, run: str) -> None:
    """Pods have been created, and no agent knows it."""
    rule = deployment.sandbox.faults.add(Fault("lose_reply", method="POST", path="/pods$"))
    wait_until(lambda: deployment.sandbox.faults.hits(rule) >= 3, what="pods are created unseen")


def let_ends_wait(deployment: Deployment, run: str) -> None:
    """Pods have ended, and what the agents write about it does not reach Redis."""
    wait_records(deployment, run, lambda found: any(r.pod for r in found), what="pods are there")
    for name in (*deployment.agents, deployment.schedulers[0]):
        deployment.redis.link(name).hold()
    time.sleep(2)


@pytest.mark.parametrize("come_to", [let_creations_wait, let_answers_get_lost, let_ends_wait])
def test_pods_are_created_once_and_their_ends_count_once_when_all_agents_are_killed(
    deployment: Deployment, come_to: Callable[[Deployment, str], None]
) -> None:
    with course(deployment) as load:
        run = load.start("load")
        come_to(deployment, run)
        kill_agents(deployment)


def test_the_watches_of_a_killed_agent_go_on_with_another_in_each_namespace(deployment: Deployment) -> None:
    with course(deployment) as load:
        run = load.start("load", seconds=15)
        wait_begun(load, run, "in_pod", "in_pod_a", "in_pod_b")
        watchers = {namespace: watcher_of(deployment, namespace) for namespace in NAMESPACES}
        victim = next((name for name in deployment.agents if name in watchers.values()), "")
        since = time.monotonic()
        if victim:
            deployment.part(victim).kill()
        else:
            victim = watchers["default"]
            os.kill(child_pid(deployment), 9)
        lost = [namespace for namespace, name in watchers.items() if name == victim]
        others = {*deployment.agents, f"airflow-{deployment.job_of(deployment.schedulers[0])}"}
        wait_until(
            lambda: all(
                watcher_of(deployment, n) in others - {victim} or victim not in deployment.agents for n in lost
            ),
            what="others watch",
        )
        print(f"others watch {lost} after {time.monotonic() - since:.0f} s")


def test_a_paused_leader_is_replaced_and_does_no_harm_when_it_wakes(deployment: Deployment) -> None:
    with course(deployment) as load:
        run = load.start("load", seconds=2)
        wait_records(deployment, run, lambda found: any(r.pod for r in found), what="pods are there")
        paused = [deployment.part(name) for name in deployment.agents]
        for part in paused:
            part.pause()
        load.wait(run)
        for part in paused:
            part.resume()
        load.start("load")


def test_the_agent_of_a_killed_scheduler_ends_by_itself(deployment: Deployment) -> None:
    with course(deployment) as load:
        load.start("load", seconds=10)
        pid, since = child_pid(deployment), time.monotonic()
        deployment.part(deployment.schedulers[0]).kill(whole_group=False)
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), what="the agent has ended")
        print(f"the agent has ended after {time.monotonic() - since:.1f} s")
