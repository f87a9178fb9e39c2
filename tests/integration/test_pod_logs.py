"""The log of a running pod reaches whoever asks for it, through the record, from any process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hybrid_executor.events import AttemptId
from hybrid_executor.sandbox.server import SandboxServer
from hybrid_executor.states import State
from hybrid_executor.store import Change, Store
from tests.integration.conftest import QUEUE_OF_PODS, as_task_instance, make_task, queue
from tests.kube_front import KubeFront
from tests.waiting import wait_until

MakeExecutor = Callable[..., Any]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Options that point at a sandbox cluster."""
    with SandboxServer() as server:
        config = tmp_path / "kubeconfig"
        server.write_kubeconfig(config)
        yield {"kubernetes_executor__config_file": str(config), "kubernetes_executor__in_cluster": "False"}


def run_pod(options: dict[str, str], *, lines: int, first: str = "") -> None:
    from hybrid_executor.config import DictConfig
    from hybrid_executor.config.kubernetes import read_kubernetes_settings
    from hybrid_executor.kube.client import connect

    section = {name.split("__")[1]: value for name, value in options.items()}
    client = connect(read_kubernetes_settings(DictConfig({"kubernetes_executor": section})))
    script = f"{first} for i in $(seq {lines}); do echo line $i; done; sleep 60"
    container = {"name": "base", "image": "any", "command": ["sh", "-c", script]}
    client.create_pod("default", {"metadata": {"name": "p"}, "spec": {"containers": [container]}})
    wait_until(lambda: client.get_pod("default", "p")["status"]["phase"] == "Running")
    wait_until(lambda: f"line {lines}" in "".join(client.read_pod_log("default", "p", container="base", tail_lines=1)))


def recorded(executor: Any, store: Store, **task: Any) -> Any:
    workload = make_task(**task)
    [attempt] = queue(executor, workload)
    executor.heartbeat()
    pod = {"pod": "p", "namespace": "default"}
    store.attempts.advance(Change(attempt=AttemptId(attempt), to=State.RUNNING, fields=pod))
    return as_task_instance(workload)


def test_the_last_lines_of_a_running_pod_are_read_by_a_process_that_did_not_launch_it(
    make_executor: MakeExecutor, store: Store, cluster: dict[str, str]
) -> None:
    ti = recorded(make_executor(**cluster), store, queue=QUEUE_OF_PODS)
    run_pod(cluster, lines=7)
    reader = make_executor(start=False, kubernetes_executor__running_pod_log_lines="3")
    messages, lines = reader.get_task_log(ti, 1)
    assert lines == ["line 5", "line 6", "line 7"]
    assert "pod p" in messages[0]


def test_where_the_tasks_log_can_be_read_as_a_file_its_lines_are_not_read_from_the_pod_too(
    make_executor: MakeExecutor, store: Store, cluster: dict[str, str], tmp_path: Path
) -> None:
    ti = recorded(make_executor(**cluster), store, queue=QUEUE_OF_PODS)
    run_pod(cluster, lines=2)
    reader = make_executor(start=False, logging__base_log_folder=str(tmp_path))
    file = tmp_path / "dag_id=dag" / "run_id=run" / "task_id=task" / "attempt=1.log"
    file.parent.mkdir(parents=True)
    file.touch()
    assert reader.get_task_log(ti, 1)[1] == ["line 1", "line 2"]
    file.write_text("{}")
    [message], lines = reader.get_task_log(ti, 1)
    assert message.startswith("Log of pod p in namespace default: read from")
    assert lines == []


def test_a_line_of_30_megabytes_is_not_read_whole(
    make_executor: MakeExecutor, store: Store, cluster: dict[str, str]
) -> None:
    ti = recorded(make_executor(**cluster), store, queue=QUEUE_OF_PODS)
    run_pod(cluster, lines=2, first="head -c 30000000 /dev/zero | tr '\\0' x; echo;")
    _, lines = make_executor(start=False).get_task_log(ti, 1)
    assert lines == ["line 2"]


def test_a_task_of_another_pool_has_no_pod_log(
    make_executor: MakeExecutor, store: Store, cluster: dict[str, str]
) -> None:
    ti = recorded(make_executor(**cluster), store, queue="default")
    assert make_executor(start=False).get_task_log(ti, 1) == ([], [])


def test_a_pod_that_is_gone_is_told(make_executor: MakeExecutor, store: Store, cluster: dict[str, str]) -> None:
    ti = recorded(make_executor(**cluster), store, queue=QUEUE_OF_PODS)
    messages, lines = make_executor(start=False).get_task_log(ti, 1)
    assert lines == []
    assert "could not be read" in messages[0]


def test_another_try_has_no_log_here(make_executor: MakeExecutor, store: Store, cluster: dict[str, str]) -> None:
    ti = recorded(make_executor(**cluster), store, queue=QUEUE_OF_PODS)
    assert make_executor(start=False).get_task_log(ti, 2) == ([], [])


def test_the_log_comes_as_a_stream_of_lines_where_that_is_asked_for(
    make_executor: MakeExecutor, store: Store, cluster: dict[str, str]
) -> None:
    ti = recorded(make_executor(**cluster), store, queue=QUEUE_OF_PODS)
    run_pod(cluster, lines=2)
    reader = make_executor(start=False)
    messages, [lines] = reader.get_streaming_task_log(ti, 1)
    assert messages == ["Log of pod p in namespace default, last lines"]
    assert next(lines) == "line 1"
    assert list(lines) == ["line 2"]


def test_there_is_no_stream_for_other_pools_other_tries_and_pods_that_are_gone(
    make_executor: MakeExecutor, store: Store, cluster: dict[str, str]
) -> None:
    scheduler, reader = make_executor(**cluster), make_executor(start=False)
    gone = recorded(scheduler, store, queue=QUEUE_OF_PODS)
    assert reader.get_streaming_task_log(recorded(scheduler, store, task_id="b", queue="default"), 1) == ([], [])
    assert reader.get_streaming_task_log(gone, 2) == ([], [])
    [message], streams = reader.get_streaming_task_log(gone, 1)
    assert "could not be read" in message
    assert streams == []


def test_the_log_is_read_with_a_token_that_was_rotated_since_the_last_look(
    make_executor: MakeExecutor, store: Store, tmp_path: Path
) -> None:
    with SandboxServer() as server:
        front = KubeFront(server, tmp_path)
        front.tokens = {"old"}
        config = front.write_kubeconfig({"token": "old"})
        options = {"kubernetes_executor__config_file": str(config), "kubernetes_executor__in_cluster": "False"}
        ti = recorded(make_executor(**options), store, queue=QUEUE_OF_PODS)
        run_pod(options, lines=1)
        reader = make_executor(start=False)
        assert reader.get_task_log(ti, 1)[1] == ["line 1"]
        front.write_kubeconfig({"token": "new"})
        front.tokens = {"new"}
        assert reader.get_task_log(ti, 1)[1] == ["line 1"]
        front.close()


def test_another_scheduler_that_did_not_launch_the_pod_reads_its_log(
    make_executor: MakeExecutor, store: Store, cluster: dict[str, str]
) -> None:
    ti = recorded(make_executor(1, **cluster), store, queue=QUEUE_OF_PODS)
    run_pod(cluster, lines=1)
    assert make_executor(2).get_task_log(ti, 1)[1] == ["line 1"]


def test_a_cluster_that_does_not_answer_is_told_and_nothing_is_raised(
    make_executor: MakeExecutor, store: Store, cluster: dict[str, str], tmp_path: Path
) -> None:
    ti = recorded(make_executor(**cluster), store, queue=QUEUE_OF_PODS)
    nowhere = tmp_path / "nowhere"
    config = json.loads(Path(cluster["kubernetes_executor__config_file"]).read_text())
    config["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:1"
    nowhere.write_text(json.dumps(config))
    reader = make_executor(start=False, kubernetes_executor__config_file=str(nowhere))
    messages, lines = reader.get_task_log(ti, 1)
    assert lines == []
    assert "could not be read" in messages[0]
