"""Several clusters at one agent, and queues whose profile says all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.kube.client import KubeClient, connect
from hybrid_executor.states import State
from hybrid_executor.store import Submission
from tests.faulty_sandbox import FaultySandbox

from .conftest import World, wait_until

ROUTES = "gpu-*=kubernetes:gpu, far=kubernetes:far, *=kubernetes"


@pytest.fixture
def far(tmp_path: Path) -> Iterator[FaultySandbox]:
    """A second cluster, with the profile ``far``."""
    with FaultySandbox(namespaces=("default", "jobs")) as server:
        server.write_kubeconfig(tmp_path / "far-kubeconfig")
        yield server


@pytest.fixture
def profiles(tmp_path: Path) -> str:
    template = tmp_path / "gpu.yaml"
    template.write_text("spec: {restartPolicy: Never, containers: [{name: base, image: 'gpu:1', command: ['true']}]}")
    file = tmp_path / "profiles.yaml"
    node = {"nodeSelector": {"accelerator": "gpu"}, "tolerations": [{"key": "gpu", "operator": "Exists"}]}
    limits = {"containers": [{"name": "base", "resources": {"limits": {"nvidia.com/gpu": "1"}}}]}
    gpu = {
        "namespace": "other",
        "pod_template_file": str(template),
        "executor_config": {"pod_override": {"spec": {**node, **limits}}},
    }
    far = {"config_file": str(tmp_path / "far-kubeconfig"), "namespace": "jobs"}
    file.write_text(yaml.safe_dump({"gpu": gpu, "far": far}))
    return str(file)


def client_of(folder: Path) -> KubeClient:
    return connect(KubernetesSettings(in_cluster=False, config_file=str(folder / "far-kubeconfig")))


def submit(world: World, queue: str, *, profile: str, cluster: str, script: str = "exit 0") -> AttemptId:
    """Submit a task as the executor does; with no script its executor_config is empty."""
    attempt = AttemptId(f"{queue}-{profile}-{script.replace(' ', '-')}"[:60])
    override = {"pod": {"spec": {"containers": [{"name": "base", "command": ["sh", "-c", script]}]}}} if script else {}
    world.store.attempts.submit(
        [
            Submission(
                attempt=attempt,
                owner=OwnerId("1"),
                pool="kubernetes",
                fields={"dag_id": "d", "task_id": "t", "queue": queue, "profile": profile, "cluster": cluster},
                payload="{}",
                overrides=json.dumps(override) if override else "",
                cluster=cluster,
            )
        ]
    )
    return attempt


def test_one_agent_serves_two_clusters_and_one_that_is_down_leaves_the_other_untouched(
    world: World, far: FaultySandbox, profiles: str, tmp_path: Path
) -> None:
    world.start_agent(settings=world.settings(routes=ROUTES, profiles_file=profiles))
    near_run = submit(world, "q", profile="", cluster="default")
    far_run = submit(world, "far", profile="far", cluster="far", script="sleep 0.5")
    world.wait_for(State.SUCCEEDED, [near_run, far_run])
    assert world.record(far_run).namespace == "jobs"
    running = submit(world, "far", profile="far", cluster="far", script=world.held)
    world.wait_for(State.RUNNING, [running])

    far.faults.drop(times=None)
    far.faults.cut_watches()
    world.let_end()
    waiting = submit(world, "far", profile="far", cluster="far", script="true")
    others = [submit(world, f"q{number}", profile="", cluster="default") for number in range(5)]
    world.wait_for(State.SUCCEEDED, others)
    assert not world.record(waiting).state.is_terminal
    assert world.record(running).state is State.RUNNING

    far.faults.clear()
    world.wait_for(State.SUCCEEDED, [waiting, running], seconds=40)
    wait_until(lambda: not world.pods(), what="no pod left near")
    wait_until(lambda: not client_of(tmp_path).list_pods(None, "").items, what="no pod left far away")


def test_a_gpu_queue_needs_nothing_from_its_tasks(world: World, far: FaultySandbox, profiles: str) -> None:
    seen = []

    def hook(pod: object) -> None:
        seen.append(pod)

    world.start_agent(settings=world.settings(routes=ROUTES, profiles_file=profiles), hook=hook)
    attempt = submit(world, "gpu-large", profile="gpu", cluster="default", script="")
    pod = wait_until(lambda: seen and seen[0])
    assert pod.metadata.namespace == "other"
    assert pod.spec.node_selector == {"accelerator": "gpu"}
    assert [toleration.key for toleration in pod.spec.tolerations] == ["gpu"]
    [base] = pod.spec.containers
    assert base.image == "gpu:1"
    assert base.resources.limits == {"nvidia.com/gpu": "1"}
    assert pod.metadata.labels["hybrid-executor/queue"] == "gpu-large"
    # The sandbox's node has GPUs.
    world.wait_for(State.SUCCEEDED, [attempt])
    wait_until(lambda: world.watcher("other") == "agent-1", what="the profile's namespace to be watched")
