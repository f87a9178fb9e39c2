"""The numbers of an agent, as a real StatsD server gets them."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator

import pytest

from hybrid_executor.config import airflow_config
from hybrid_executor.metrics import Metrics, airflow_stats, open_metrics, read_metrics_settings
from hybrid_executor.states import State
from tests.statsd_listener import StatsdListener, check_against_the_table, names_of

from .conftest import World, wait_until
from .test_agent_fairness import blocking, gpu_pod, let_go, limit
from .test_agent_watching import GREEDY
from .warm_world import WarmWorld

# Airflow never closes the socket of its StatsD client.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
PLACE = {"cluster": "default", "kube_namespace": "default"}


@pytest.fixture
def statsd(monkeypatch: pytest.MonkeyPatch) -> Iterator[StatsdListener]:
    with StatsdListener() as listener:
        for name, value in listener.environment().items():
            monkeypatch.setenv(name, value)
        yield listener
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "False")
        airflow_stats._initialize(airflow_stats._find_stats())
        gc.collect()


@pytest.fixture
def metrics(statsd: StatsdListener) -> Metrics:
    return open_metrics(read_metrics_settings(airflow_config()))


def test_every_metric_of_agents_is_sent_as_the_table_says(
    world: World, statsd: StatsdListener, metrics: Metrics
) -> None:
    world.sandbox.faults.fail(503, verb="create", times=1)
    world.start_agent(metrics=metrics, kubernetes={"pod_launch_failure_retries": "1"})
    ran = world.submit("sleep 0.2", count=2)
    world.wait_for(State.SUCCEEDED, ran)
    bad = world.submit(pod={"spec": {"containers": "none"}})
    world.wait_for(State.FAILED, bad)
    [greedy] = world.submit(pod=GREEDY)
    [record] = world.wait_for(State.PENDING, [greedy])
    world.kube.delete_pod("default", record.pod, grace_period_seconds=0)
    wait_until(lambda: world.record(greedy).launches == 1, what="the pod to be launched again")
    world.sandbox.faults.fail(410, verb="watch", times=1)
    world.sandbox.faults.cut_watches()
    wait_until(lambda: statsd.total("watch.restarts", cause="gone", **PLACE) == 1, what="the watch to begin again")
    # Another agent takes the lease for longer than this test runs.
    lease = world.store.keys.lease("watch:default:default")
    world.store.client.hset(lease, mapping={"holder": "other", "until": 2**52, "fence": 99})
    wait_until(lambda: statsd.total("leases.lost", lease="watch_default_default") == 1, what="the loss of the lease")
    world.store.client.config_set("maxmemory", "1")
    try:
        wait_until(lambda: statsd.total("redis.errors", role="agent", code="OOM") >= 1, what="the refusal of Redis")
    finally:
        world.store.client.config_set("maxmemory", "0")
    # Those of warm pods are sent only where a profile has some.
    expected = {name for name in names_of("agent", "all") if "warm." not in name}
    wait_until(lambda: expected <= statsd.names(), what="all metrics")

    check_against_the_table(statsd.samples)
    wait_until(lambda: statsd.total("pods.created", **PLACE) == 4, what="four pods")
    assert len(statsd.of("pods.launch_time", **PLACE)) == 4
    assert len(statsd.of("pods.start_time", **PLACE)) == 2
    assert statsd.total("pods.launch_retries", reason="busy") == 1
    assert statsd.total("pods.launch_failed", category="rejected") == 1
    assert statsd.total("pods.launched_again", category="deleted_before_start") == 1
    assert statsd.total("kube.requests", verb="POST", code="201") == 4
    assert statsd.total("kube.requests", verb="POST", code="503") == 1
    assert statsd.total("kube.requests", verb="WATCH", code="200") >= 1
    assert statsd.last("watch.age", **PLACE) is not None


def test_the_metrics_of_warm_pods_are_sent(world: World, statsd: StatsdListener, metrics: Metrics) -> None:
    warm = WarmWorld(world, idle=2, most=2)
    warm.write_template(task="sleep 2")
    warm.start_agent(metrics=metrics)
    warm.wait_for_ready(2)
    place = {"cluster": "default", "profile": "warm"}
    wait_until(lambda: statsd.last("warm.pods", state="ready", **place) == 2, what="two pods that wait")
    wait_until(lambda: statsd.last("warm.idle_cpu", **place) == pytest.approx(0.2), what="what their idleness costs")
    wait_until(lambda: statsd.last("warm.idle_memory", **place) == 2 * 2**20, what="what their idleness costs")
    other = json.dumps({"pod": {"metadata": {"labels": {"a": "b"}}}})
    attempts = [*warm.submit(overrides=other), *warm.submit(count=3)]
    world.wait_for(State.SUCCEEDED, attempts)
    hits = sum(pods[0].startswith("warm-") for pods in warm.ran().values())
    wait_until(lambda: statsd.total("warm.hits", **place) == hits >= 2, what="each hand-over to be counted")
    times = wait_until(lambda: len(found := statsd.of("warm.hand_over_time", **place)) == hits and found)
    assert all(sample.value > 0 for sample in times)
    wait_until(lambda: statsd.total("warm.misses", reason="executor_config", **place) == 1, what="a miss")
    assert statsd.total("warm.misses", reason="none_waiting", **place) == 3 - hits
    assert {name for name in names_of("agent") if "warm." in name} <= statsd.names()
    check_against_the_table(statsd.samples)


def test_an_agent_announces_what_its_launches_wait_for(world: World) -> None:
    limit(world, "other", {"requests.nvidia.com/gpu": "1"})
    world.start_agent(kubernetes={"multi_namespace_mode": "True"}, is_watching=False)
    blocking(world, gpus=1, namespace="other")
    pod = gpu_pod("exit 0", gpus=1)
    waiting = world.submit(pod={**pod, "metadata": {"namespace": "other"}}, count=2)

    def announced() -> object:
        fields = world.store.presence.fields("agent", "agent-1")
        return json.loads(fields.get("waiting") or "{}").get("default")

    wait_until(lambda: announced() == {"other": {"quota": 2}}, what="two launches that wait for the quota")
    let_go(world)
    world.wait_for(State.SUCCEEDED, waiting)
    wait_until(lambda: announced() == {}, what="nothing to wait")
