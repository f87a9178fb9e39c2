"""Workloads handed over to pods: by the sandbox, and by a real API server and kubelet where ``KUBECONFIG`` names some.

The image that ``HYBRID_TEST_IMAGE`` names needs a shell only.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hybrid_executor.events import AttemptId
from hybrid_executor.kube.awaiting_pod import hand_over_state
from hybrid_executor.kube.warm_pod import CLAIMED
from hybrid_executor.states import State
from hybrid_executor.store import Record
from tests.conftest import RedisServer

from .kube_cluster import until
from .kube_ground import SECRET, Ground, ground, payload_of

pytestmark = [pytest.mark.kube, pytest.mark.redis, pytest.mark.filterwarnings("ignore:Unverified HTTPS request")]


def check_run(place: Ground, attempt: AttemptId) -> Record:
    """Wait for the attempt to end, and look at its pod, which is kept. Return its record."""
    record = place.wait_for(attempt, State.SUCCEEDED)
    pod = place.pod(record)
    assert hand_over_state(pod) == CLAIMED
    assert pod["metadata"]["labels"]["hybrid-executor/attempt"] == attempt
    assert SECRET not in json.dumps(pod)
    ready, accepted, ran = place.log(record).splitlines()
    assert (ready, accepted) == ("hybrid-executor: ready", f"hybrid-executor: accepted {attempt}")
    assert ran == f"ran with {len(payload_of(attempt))} characters, and then read: "
    return record


@pytest.mark.parametrize("where", ["sandbox", "cluster"])
def test_a_warm_pod_gets_one_workload_and_no_object_of_the_cluster_holds_it(
    where: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    with ground(where, redis_server.url, tmp_path, routes="*=kubernetes:warm") as place, place.agent():
        waiting = place.wait_for_ready()
        record = check_run(place, place.submit("warm"))
        assert {record.pod} == waiting


@pytest.mark.parametrize("where", ["sandbox", "cluster"])
def test_a_pod_of_one_attempt_gets_its_workload_by_standard_input(
    where: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    options = {"routes": "*=kubernetes:own", "pod_token": "stdin"}
    with ground(where, redis_server.url, tmp_path, **options) as place, place.agent():
        attempts = [place.submit("own") for _ in range(2)]
        pods = {check_run(place, attempt).pod for attempt in attempts}
        assert len(pods) == 2


@pytest.mark.parametrize("where", ["cluster"])  # the sandbox: tests/integration/agent/test_agent_warm.py
def test_no_waiting_pod_of_an_older_template_is_used(where: str, redis_server: RedisServer, tmp_path: Path) -> None:
    options = {"routes": "*=kubernetes:warm", "pod_token": "stdin"}
    with ground(where, redis_server.url, tmp_path, idle=2, **options) as place, place.agent():
        old = place.wait_for_ready(2)
        place.write_template(version="2")
        record = place.wait_for(place.submit("warm"), State.SUCCEEDED)
        assert record.pod not in old
        assert place.pod(record)["metadata"]["labels"]["version"] == "2"
        namespace = place.cluster.namespace
        until(
            lambda: old.isdisjoint(
                pod["metadata"]["name"] for pod in place.cluster.client.list_pods(namespace, "").items
            )
        )
        until(lambda: place.wait_for_ready(2).isdisjoint(old))


@pytest.mark.parametrize("where", ["cluster"])  # the sandbox: tests/integration/agent/test_agent_warm.py
def test_waiting_pods_give_way_when_a_namespace_is_short_of_quota(
    where: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    options = {"routes": "warm=kubernetes:warm, *=kubernetes:own", "pod_token": "stdin"}
    with ground(where, redis_server.url, tmp_path, idle=2, **options) as place, place.agent():
        gone = place.wait_for_ready(2)
        place.cluster.limit(pods="2")
        check_run(place, place.submit("own"))
        place.cluster.unlimit()
        assert place.wait_for_ready(2).isdisjoint(gone)
