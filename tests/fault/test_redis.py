"""Redis that goes, freezes, forgets, refuses, or is another one: nothing is lost, nothing runs twice, nobody dies."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.fault.course import course, wait_begun
from tests.fault.deployment import Deployment
from tests.fault.load import Load

pytestmark = [pytest.mark.fault, pytest.mark.timeout(1200)]


def restarted(deployment: Deployment) -> None:
    deployment.redis.restart(with_data=True, down_seconds=5)


def restarted_empty(deployment: Deployment) -> None:
    deployment.redis.restart(with_data=False, down_seconds=5)


def frozen(deployment: Deployment) -> None:
    deployment.redis.primary.pause()
    time.sleep(15)
    deployment.redis.primary.resume()


def flushed(deployment: Deployment) -> None:
    with deployment.redis.client() as client:
        client.flushall()


def full(deployment: Deployment) -> None:
    with deployment.redis.client() as client:
        client.config_set("maxmemory", 1)
        time.sleep(10)
        client.config_set("maxmemory", 0)


def read_only(deployment: Deployment) -> None:
    with deployment.redis.client() as client:
        client.replicaof("127.0.0.1", "1")
        time.sleep(10)
        client.replicaof("NO", "ONE")


def loading(deployment: Deployment) -> None:
    deployment.redis.restart_loading(10)


def disconnected(deployment: Deployment) -> None:
    for _ in range(5):
        for link in deployment.redis.links:
            link.drop_connections()
        time.sleep(1)


def slow(deployment: Deployment) -> None:
    for link in deployment.redis.links:
        link.slow(0.1)
    time.sleep(20)


def failed_over(deployment: Deployment) -> None:
    deployment.redis.fail_over(lost_seconds=1)


HAPPENINGS = [*(restarted, restarted_empty, loading, frozen, flushed, full, read_only, disconnected, slow, failed_over)]
OFTEN = {disconnected: 5}


@pytest.mark.parametrize("happen", HAPPENINGS)
def test_what_is_queued_and_what_runs_ends_once_and_costs_no_try(
    deployment: Deployment, happen: Callable[[Deployment], None]
) -> None:
    with course(deployment, troubles=OFTEN.get(happen, 1)) as load:
        running, waiting = fill(load)
        with ExitStack() as at_end:
            at_end.callback(deployment.heal)
            began = time.monotonic()
            happen(deployment)
            happened = time.monotonic()
            load.start("everything")
        load.wait(running, waiting)
        print(
            f"{happen.__name__}: {happened - began:.0f} s; then all had ended after {time.monotonic() - happened:.0f} s"
        )


def fill(load: Load) -> tuple[str, str]:
    """Occupy six of the eight slots of the workers, and let more wait than fit; return both runs."""
    running = load.start("load", seconds=12)
    wait_begun(load, running, "on_worker", "in_pod", "in_pod_a", "in_pod_b")
    load.start("load", seconds=8)
    return running, load.start("load", seconds=3)
