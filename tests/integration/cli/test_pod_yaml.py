"""``airflow hybrid pod-yaml``: what is shown is what an agent would create."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from kubernetes.client import V1Container, V1EnvVar, V1ObjectMeta, V1Pod, V1PodSpec

from hybrid_executor.cli.pod_yaml_command import pod_yaml
from hybrid_executor.sandbox.objects import PODS
from hybrid_executor.sandbox.server import SandboxServer
from tests.integration.cli.exit_codes import exit_code_of
from tests.integration.conftest import set_options

Show = Callable[..., tuple[str, list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def dag(airflow_db: None) -> str:
    """A Dag in Airflow's database, as the Dag processor leaves it there."""
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG, task
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from airflow.utils.session import create_session

    with DAG("planned", schedule=None) as described:
        env = [V1EnvVar(name="SIZE", value="large")]
        override = V1Pod(
            metadata=V1ObjectMeta(namespace="mine"),
            spec=V1PodSpec(containers=[V1Container(name="base", env=env)]),
        )
        EmptyOperator(task_id="here")
        EmptyOperator(task_id="pod", queue="kubernetes", executor_config={"pod_override": override})
        legacy = {"KubernetesExecutor": {"image": "train:2", "request_memory": "1Gi"}}
        EmptyOperator(task_id="train", queue="gpu-large", executor_config=legacy)
        EmptyOperator(task_id="wrong", queue="kubernetes", executor_config={"pod_override": {"containers": []}})

        @task(queue="gpu-small")
        def each(number: int) -> None: ...

        each.expand(number=[1, 2])
    with create_session() as session:
        session.add(DagBundleModel(name="examples"))
        session.flush()
        session.add(DagModel(dag_id="planned", bundle_name="examples", relative_fileloc="planned.py"))
        session.flush()
        SerializedDagModel.write_dag(
            LazyDeserializedDAG.from_dag(described), bundle_name="examples", bundle_version=None, session=session
        )
    return "planned"


@pytest.fixture
def show(dag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Show:
    """Return a function that runs the command; gives what was printed and the pods in it."""
    profiles = tmp_path / "profiles.yaml"
    gpu = {"namespace": "gpu", "executor_config": {"pod_override": {"spec": {"nodeSelector": {"accelerator": "gpu"}}}}}
    profiles.write_text(yaml.safe_dump({"gpu": gpu}))
    set_options(
        monkeypatch,
        hybrid_executor__routes="kubernetes=kubernetes, gpu-*=kubernetes:gpu, *=celery",
        hybrid_executor__profiles_file=str(profiles),
        kubernetes_executor__worker_container_repository="task",
        kubernetes_executor__worker_container_tag="1",
    )

    def run(task_id: str | None = None, *, code: int = 0, **arguments: Any) -> tuple[str, list[dict[str, Any]]]:
        given = {"dag_id": dag, "map_index": None, "run_id": "example-run", "output": None}
        assert exit_code_of(pod_yaml, Namespace(**{**given, "task_id": task_id, **arguments})) == code
        told = capsys.readouterr()
        return told.out + told.err, [pod for pod in yaml.safe_load_all(told.out) if isinstance(pod, dict)]

    return run


def base(pod: dict[str, Any]) -> dict[str, Any]:
    container: dict[str, Any] = pod["spec"]["containers"][0]
    return container


def test_a_pod_is_shown_as_routes_profile_and_executor_config_make_it(show: Show) -> None:
    text, [pod] = show("train")
    assert "# task train: queue gpu-large goes to kubernetes by gpu-*=kubernetes:gpu, cluster default" in text
    assert pod["metadata"]["namespace"] == "gpu"
    assert pod["spec"]["nodeSelector"] == {"accelerator": "gpu"}
    assert (base(pod)["image"], base(pod)["resources"]["requests"]["memory"]) == ("train:2", "1Gi")
    assert pod["metadata"]["annotations"]["task_id"] == "train"


def test_a_model_in_executor_config_survives_the_database(show: Show) -> None:
    _, [pod] = show("pod")
    assert pod["metadata"]["namespace"] == "mine"
    assert {"name": "SIZE", "value": "large"} in base(pod)["env"]
    assert base(pod)["image"] == "task:1"


def test_there_is_a_placeholder_where_the_token_would_be(show: Show) -> None:
    _, [pod] = show("pod")
    arguments = base(pod)["args"]
    assert arguments[:3] == ["python", "-m", "airflow.sdk.execution_time.execute_workload"]
    assert '"token":"<token>"' in arguments[-1]
    assert '"dag_rel_path":"planned.py"' in arguments[-1]


def test_a_mapped_task_has_the_pod_of_the_instance_that_is_asked_for(show: Show) -> None:
    _, [first] = show("each")
    _, [third] = show("each", map_index=2)
    assert first["metadata"]["labels"]["map_index"] == "0"
    assert third["metadata"]["labels"]["map_index"] == "2"


@pytest.fixture
def mutation_hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A deployment whose local settings label every pod."""
    from airflow import settings
    from airflow.policies import hookimpl

    local_settings: Any = ModuleType("airflow_local_settings")

    @hookimpl
    def pod_mutation_hook(pod: Any) -> None:
        pod.metadata.labels["team"] = "blue"

    local_settings.pod_mutation_hook = pod_mutation_hook
    monkeypatch.setitem(sys.modules, "airflow_local_settings", local_settings)
    policies = settings.get_policy_plugin_manager()
    policies.register(local_settings)
    yield
    policies.unregister(local_settings)


@pytest.mark.usefixtures("mutation_hook")
def test_the_mutation_hook_has_the_last_word(show: Show) -> None:
    _, [pod] = show("pod")
    assert pod["metadata"]["labels"]["team"] == "blue"


def test_a_whole_dag_shows_its_pods_and_why_others_have_none(show: Show) -> None:
    text, pods = show(code=1)
    assert sorted(pod["metadata"]["annotations"]["task_id"] for pod in pods) == ["each", "pod", "train"]
    assert "# task here: queue default goes to celery by *=celery: no pod" in text
    assert "# task wrong: queue kubernetes goes to kubernetes by kubernetes=kubernetes: this task would fail." in text
    assert "containers belong below 'spec'" in text


def test_pods_are_written_to_a_file(show: Show, tmp_path: Path) -> None:
    text, _ = show("train", output=str(tmp_path / "pods.yaml"))
    assert "1 pods written to" in text
    assert yaml.safe_load((tmp_path / "pods.yaml").read_text())["kind"] == "Pod"


def test_a_dag_or_task_that_is_not_there_is_told_with_what_is(show: Show) -> None:
    text, _ = show(code=2, dag_id="nothing")
    assert "Unknown Dag 'nothing'" in text
    text, _ = show("nothing", code=2)
    assert "Unknown task 'nothing': the tasks of the Dag" in text
    assert "train" in text


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SandboxServer]:
    with SandboxServer(runs_pods=False, namespaces=("default", "gpu")) as server:
        config = tmp_path / "kubeconfig"
        server.write_kubeconfig(config)
        set_options(monkeypatch, kubernetes_executor__in_cluster="False", kubernetes_executor__config_file=str(config))
        yield server


def test_a_cluster_checks_the_pods_and_creates_none(
    show: Show, cluster: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, [_] = show("train", check=True)
    assert "# the cluster accepts this pod" in text
    template = tmp_path / "template.yaml"
    template.write_text("spec: {containers: [{name: base, imagePullPolice: Always}], tolerationz: []}")
    set_options(monkeypatch, kubernetes_executor__pod_template_file=str(template))
    text, [_] = show("train", check=True, code=1)
    assert "# the cluster refuses this pod: check pod gpu/" in text
    assert 'unknown field "spec.tolerationz"' in text
    assert "spec.tolerationz is not a field of the installed kubernetes library: did you mean tolerations?" in text
    assert cluster.cluster.select(PODS) == []


def test_a_cluster_that_cannot_be_asked_is_told(show: Show, cluster: SandboxServer) -> None:
    cluster.stop()
    text, [_] = show("train", check=True, code=1)
    assert "# the cluster cannot check this pod" in text
