"""Pods of the sandbox are real processes, and their status is what a kubelet would report."""

from __future__ import annotations

import base64
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hybrid_executor.sandbox.node import NodeSettings
from tests.contract.sandbox_client import PODS, Json, SandboxClient, terminated, until, waiting_reason
from tests.faulty_sandbox import FaultySandbox

NODE = NodeSettings(
    pod_capacity=8,
    allocatable={"cpu": "4", "memory": "8Gi", "nvidia.com/gpu": "1"},
    labels={"disk": "ssd"},
    restart_backoff_seconds=0.02,
    pull_backoff_seconds=0.02,
    maximum_backoff_seconds=0.1,
)
SLEEP = ("sleep", "1000")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[FaultySandbox]:
    with FaultySandbox(node=NODE) as server:
        yield server


@pytest.fixture
def client(sandbox: FaultySandbox) -> Iterator[SandboxClient]:
    client = SandboxClient(sandbox)
    yield client
    client.http.delete(PODS, params={"gracePeriodSeconds": 0})
    sandbox.faults.recover_node()
    until(lambda: client.get(PODS)["items"] == [])
    client.close()


def event_reasons(client: SandboxClient, pod: Json) -> list[str]:
    """Return the reasons of a pod's events, in the order they were written."""
    selector = f"involvedObject.name={pod['metadata']['name']},involvedObject.uid={pod['metadata']['uid']}"
    events = client.get("/api/v1/namespaces/default/events", fieldSelector=selector)["items"]
    return [event["reason"] for event in sorted(events, key=lambda event: int(event["metadata"]["resourceVersion"]))]


def state_of(pod: Json) -> str:
    """Return a pod's first container's state, of a waiting one its reason."""
    [state] = [*pod["status"].get("containerStatuses", [{}])[0].get("state", {"": {}})]
    return waiting_reason(pod) if state == "waiting" else state


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def pids_in(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def test_a_pod_passes_through_the_states_of_a_real_one(client: SandboxClient) -> None:
    version = client.get(PODS)["metadata"]["resourceVersion"]
    client.create("life", "true")
    client.wait_for_phase("life", "Succeeded")
    with client.watch(resourceVersion=version, timeoutSeconds=1) as events:
        states = [event["object"] for event in events]
    seen = [(pod["spec"].get("nodeName"), pod["status"]["phase"], state_of(pod)) for pod in states]
    assert seen == [
        (None, "Pending", ""),
        ("sandbox-node", "Pending", ""),
        ("sandbox-node", "Pending", "ContainerCreating"),
        ("sandbox-node", "Running", "running"),
        ("sandbox-node", "Running", "terminated"),
        ("sandbox-node", "Succeeded", "terminated"),
    ]
    running = states[3]["status"]
    assert running["containerStatuses"][0] | {"state": {}, "containerID": ""} == {
        "name": "base",
        "state": {},
        "lastState": {},
        "ready": True,
        "started": True,
        "restartCount": 0,
        "image": "x:1",
        "imageID": "sandbox://x:1",
        "containerID": "",
    }
    conditions = {entry["type"]: entry["status"] for entry in running["conditions"]}
    assert conditions == dict.fromkeys(
        ("PodScheduled", "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"), "True"
    )
    assert (running["podIP"], running["hostIP"], running["qosClass"]) == ("127.0.0.1", "127.0.0.1", "BestEffort")
    assert terminated(states[4])["reason"] == "Completed"
    ready = [entry["reason"] for entry in states[4]["status"]["conditions"] if entry["type"] == "Ready"]
    assert ready == ["PodCompleted"]


@pytest.mark.parametrize(("script", "code"), [("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 11)", 139)])
def test_a_failed_command_fails_the_pod_with_its_exit_code(client: SandboxClient, script: str, code: int) -> None:
    client.create("bad", "python", "-c", script)
    end = terminated(client.wait_for_phase("bad", "Failed"))
    assert (end["exitCode"], end["reason"]) == (code, "Error")


def test_a_container_without_a_command_completes_at_once(client: SandboxClient) -> None:
    client.create("empty")
    assert terminated(client.wait_for_phase("empty", "Succeeded"))["exitCode"] == 0


def test_a_command_that_cannot_be_run_is_a_start_error(client: SandboxClient) -> None:
    client.create("nocommand", "no-such-command-anywhere")
    end = terminated(client.wait_for_phase("nocommand", "Failed"))
    assert (end["exitCode"], end["reason"]) == (128, "StartError")
    assert 'exec: "no-such-command-anywhere": executable file not found in $PATH' in end["message"]


def test_a_pods_process_sees_its_environment_and_reports_its_pods_name(client: SandboxClient) -> None:
    script = (
        "import json, os, sys; from hybrid_executor.sandbox.hostname import pod_hostname;"
        "print(json.dumps([os.environ['WHO'], os.environ['HOSTNAME'], pod_hostname(), sys.executable,"
        "os.environ['AIRFLOW__CORE__HOSTNAME_CALLABLE'], os.getcwd()]))"
    )
    env = [{"name": "WHO", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    container = {"name": "base", "image": "x:1", "command": ["python", "-c", script], "env": env, "workingDir": "/"}
    client.create("seer", containers=[container])
    client.wait_for_phase("seer", "Succeeded")
    callable_path = "hybrid_executor.sandbox.hostname.pod_hostname"
    assert json.loads(client.log("seer")) == ["seer", "seer", "seer", sys.executable, callable_path, "/"]
    assert socket.gethostname() != "seer"


def test_init_containers_run_in_order_before_the_containers(client: SandboxClient, tmp_path: Path) -> None:
    journal = tmp_path / "journal"

    def write(name: str) -> dict[str, object]:
        return {"name": name, "image": "x:1", "command": ["sh", "-c", f"echo {name} >> {journal}"]}

    client.create("ordered", initContainers=[write("first"), write("second")], containers=[write("main")])
    pod = client.wait_for_phase("ordered", "Succeeded")
    assert journal.read_text().split() == ["first", "second", "main"]
    assert [entry["ready"] for entry in pod["status"]["initContainerStatuses"]] == [True, True]


def test_a_failed_init_container_fails_the_pod_before_its_containers_run(client: SandboxClient) -> None:
    client.create(
        "noinit",
        initContainers=[{"name": "init", "image": "x:1", "command": ["false"]}],
        containers=[{"name": "base", "image": "x:1", "command": ["true"]}],
    )
    pod = client.wait_for_phase("noinit", "Failed")
    assert terminated(pod, "init")["exitCode"] == 1
    assert waiting_reason(pod) == "PodInitializing"


def test_a_sidecar_runs_beside_the_containers_and_ends_with_them(client: SandboxClient) -> None:
    sidecar = {"name": "side", "image": "x:1", "command": list(SLEEP), "restartPolicy": "Always"}
    main = {"name": "base", "image": "x:1", "command": ["true"]}
    client.create("helped", initContainers=[sidecar], containers=[main])
    pod = client.wait_for_phase("helped", "Succeeded")
    assert terminated(pod, "side")["exitCode"] == 143


def test_containers_of_a_pod_run_at_the_same_time_and_one_failure_fails_it(
    client: SandboxClient, tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    containers = [
        {"name": "base", "image": "x:1", "command": ["sh", "-c", f"read line < {fifo}; exit 4"]},
        {"name": "other", "image": "x:1", "command": ["sh", "-c", f"echo go > {fifo}"]},
    ]
    client.create("pair", containers=containers)
    pod = client.wait_for_phase("pair", "Failed")
    assert (terminated(pod)["exitCode"], terminated(pod, "other")["exitCode"]) == (4, 0)


def test_a_container_is_restarted_as_its_policy_says(client: SandboxClient, tmp_path: Path) -> None:
    script = f"echo run >> {tmp_path}/runs; test $(wc -l < {tmp_path}/runs) -ge 3"
    client.create("again", "sh", "-c", script, restartPolicy="OnFailure")
    pod = client.wait_for_phase("again", "Succeeded")
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 2
    assert pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 1
    client.create("always", "false", restartPolicy="Always")
    pod = client.wait("always", lambda pod: waiting_reason(pod) == "CrashLoopBackOff")
    assert pod["status"]["phase"] == "Running"
    assert "BackOff" in event_reasons(client, pod)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("x:does-not-exist", "ErrImagePull"),
        ("missing.invalid/x:1", "ImagePullBackOff"),
        ("Not An Image", "InvalidImageName"),
    ],
)
def test_an_image_that_cannot_be_had_leaves_the_pod_pending(client: SandboxClient, image: str, reason: str) -> None:
    client.create("noimage", containers=[{"name": "base", "image": image, "command": ["true"]}])
    pod = client.wait("noimage", lambda pod: waiting_reason(pod) == reason)
    assert pod["status"]["phase"] == "Pending"
    answer = client.http.get(f"{PODS}/noimage/log")
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")


def test_a_pod_waits_for_a_secret_that_its_environment_needs(client: SandboxClient) -> None:
    env = [{"name": "S", "valueFrom": {"secretKeyRef": {"name": "late", "key": "k"}}}]
    container = {"name": "base", "image": "x:1", "command": ["sh", "-c", "echo $S"], "env": env}
    client.create("secretive", containers=[container])
    pod = client.wait("secretive", lambda pod: waiting_reason(pod) == "CreateContainerConfigError")
    message = pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
    assert message == 'secret "late" not found'
    secret = {"metadata": {"name": "late"}, "data": {"k": base64.b64encode(b"hush").decode()}}
    client.post("/api/v1/namespaces/default/secrets", secret)
    client.wait_for_phase("secretive", "Succeeded")
    assert client.log("secretive") == "hush\n"


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"nodeSelector": {"disk": "tape"}}, "node(s) didn't match Pod's node affinity/selector"),
        (
            {"containers": [{"name": "a", "image": "x", "resources": {"limits": {"nvidia.com/gpu": "2"}}}]},
            "Insufficient nvidia.com/gpu",
        ),
    ],
)
def test_a_pod_that_fits_nowhere_says_why(client: SandboxClient, spec: Json, why: str) -> None:
    client.create("unfit", **spec)
    pod = client.wait("unfit", lambda pod: "conditions" in pod["status"])
    condition = pod["status"]["conditions"][0]
    assert (condition["type"], condition["status"], condition["reason"]) == ("PodScheduled", "False", "Unschedulable")
    assert condition["message"].startswith(f"0/1 nodes are available: 1 {why}.")
    assert event_reasons(client, pod) == ["FailedScheduling"]


def test_pods_beyond_the_capacity_wait_their_turn(client: SandboxClient) -> None:
    for number in range(8):
        client.create(f"first{number}", *SLEEP)
    client.create("next", "true")
    client.create("last", "true")
    pod = client.wait("next", lambda pod: "conditions" in pod["status"])
    assert "Too many pods" in pod["status"]["conditions"][0]["message"]
    version = client.get(PODS)["metadata"]["resourceVersion"]
    client.delete("first3", gracePeriodSeconds=0)
    client.wait_for_phase("last", "Succeeded")
    with client.watch(resourceVersion=version, fieldSelector="spec.nodeName!=", timeoutSeconds=1) as events:
        bound = [event["object"]["metadata"]["name"] for event in events if event["type"] == "ADDED"]
    assert bound == ["next", "last"]


def test_a_pod_on_another_node_is_left_alone(client: SandboxClient) -> None:
    client.create("elsewhere", "true", nodeName="other-node")
    client.create("here", "true")
    client.wait_for_phase("here", "Succeeded")
    assert client.pod("elsewhere")["status"] == {"phase": "Pending", "qosClass": "BestEffort"}


def test_a_pod_that_outlives_its_deadline_fails(client: SandboxClient) -> None:
    client.create("late", *SLEEP, activeDeadlineSeconds=1)
    pod = client.wait_for_phase("late", "Failed")
    assert pod["status"]["reason"] == "DeadlineExceeded"
    assert terminated(pod)["exitCode"] == 143


def test_a_deleted_pod_gets_sigterm_reports_its_end_and_is_removed(client: SandboxClient) -> None:
    script = "import signal, sys; signal.signal(15, lambda *_: sys.exit(7)); print('up', flush=True); signal.pause()"
    client.create("graceful", "python", "-c", script)
    client.wait_for_phase("graceful", "Running")
    until(lambda: client.log("graceful") == "up\n")
    version = client.get(PODS)["metadata"]["resourceVersion"]
    client.delete("graceful")
    client.wait_until_gone("graceful")
    with client.watch(resourceVersion=version, timeoutSeconds=1) as events:
        seen = [(event["type"], event["object"]) for event in events]
    shown = [(kind, pod["metadata"]["deletionGracePeriodSeconds"], pod["status"]["phase"]) for kind, pod in seen]
    assert shown == [
        ("MODIFIED", 30, "Running"),
        ("MODIFIED", 30, "Failed"),
        ("MODIFIED", 0, "Failed"),
        ("DELETED", 0, "Failed"),
    ]
    assert terminated(seen[-1][1])["exitCode"] == 7
    assert event_reasons(client, seen[-1][1]) == ["Scheduled", "Killing"]


def test_a_pod_that_ignores_sigterm_is_killed_when_its_grace_is_over(client: SandboxClient) -> None:
    client.create("stubborn", "sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done")
    client.wait_for_phase("stubborn", "Running")
    until(lambda: client.log("stubborn") == "up\n")
    version = client.get(PODS)["metadata"]["resourceVersion"]
    client.delete("stubborn", gracePeriodSeconds=1)
    client.wait_until_gone("stubborn")
    with client.watch(resourceVersion=version, timeoutSeconds=1) as events:
        last = list(events)[-1]
    assert terminated(last["object"])["exitCode"] == 137


def test_no_process_of_a_pod_outlives_it_not_even_in_another_session(client: SandboxClient, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 1000 & echo $! >> {pids}; setsid sh -c 'echo $$$$ >> {pids}; exec sleep 1000' & wait"
    client.create("family", "sh", "-c", script)
    until(lambda: len(pids_in(pids)) == 2)
    assert all(is_alive(pid) for pid in pids_in(pids))
    client.delete("family", gracePeriodSeconds=1)
    client.wait_until_gone("family")
    until(lambda: not any(is_alive(pid) for pid in pids_in(pids)))


def test_a_forced_delete_removes_the_pod_at_once_and_kills_its_process(client: SandboxClient, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    client.create("forced", "sh", "-c", f"echo $$$$ > {pids}; trap '' TERM; while :; do sleep 0.1; done")
    until(lambda: len(pids_in(pids)) == 1)
    client.delete("forced", gracePeriodSeconds=0)
    assert client.http.get(f"{PODS}/forced").status_code == 404
    until(lambda: not is_alive(pids_in(pids)[0]))


def test_a_name_can_be_used_again_while_its_former_pod_still_ends(client: SandboxClient) -> None:
    client.create("twice", *SLEEP)
    client.wait_for_phase("twice", "Running")
    client.delete("twice", gracePeriodSeconds=0)
    client.create("twice", "true")
    assert terminated(client.wait_for_phase("twice", "Succeeded"))["exitCode"] == 0


def test_a_log_can_be_read_whole_by_its_end_and_after_the_pod_has_ended(client: SandboxClient) -> None:
    client.create("talker", "sh", "-c", "echo one; echo two >&2; echo three")
    client.wait_for_phase("talker", "Succeeded")
    assert client.log("talker") == "one\ntwo\nthree\n"
    assert client.log("talker", tailLines=2) == "two\nthree\n"
    assert client.log("talker", limitBytes=4) == "one\n"
    assert client.log("talker", container="base", tailLines=0) == ""


def test_a_followed_log_ends_with_the_container(client: SandboxClient, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    client.create("followed", "sh", "-c", f"echo before; read line < {fifo}; echo after")
    client.wait_for_phase("followed", "Running")
    with client.http.stream("GET", f"{PODS}/followed/log", params={"follow": "true"}) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "before"
        fifo.write_text("go\n")
        assert list(lines) == ["after"]


def test_the_log_of_a_restarted_containers_last_run_can_be_read(client: SandboxClient, tmp_path: Path) -> None:
    script = f"echo run >> {tmp_path}/runs; n=$(wc -l < {tmp_path}/runs); echo run $n; test $n -ge 2"
    client.create("rerun", "sh", "-c", script, restartPolicy="OnFailure")
    client.wait_for_phase("rerun", "Succeeded")
    assert client.log("rerun").split() == ["run", "2"]
    assert client.log("rerun", previous="true").split() == ["run", "1"]


def test_the_end_of_the_log_can_be_the_termination_message(client: SandboxClient) -> None:
    container = {
        "name": "base",
        "image": "x:1",
        "command": ["sh", "-c", "echo because; exit 1"],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    client.create("because", containers=[container])
    assert terminated(client.wait_for_phase("because", "Failed"))["message"] == "because\n"


def test_an_oom_killed_container_says_so(client: SandboxClient, sandbox: FaultySandbox) -> None:
    client.create("greedy", *SLEEP)
    client.wait_for_phase("greedy", "Running")
    sandbox.faults.oom_kill("greedy")
    end = terminated(client.wait_for_phase("greedy", "Failed"))
    assert (end["exitCode"], end["reason"]) == (137, "OOMKilled")


def test_an_evicted_pod_stays_behind_as_failed_and_its_node_says_why_last(
    client: SandboxClient, sandbox: FaultySandbox
) -> None:
    client.create("evicted", *SLEEP)
    client.wait_for_phase("evicted", "Running")
    version = client.get(PODS)["metadata"]["resourceVersion"]
    sandbox.faults.evict("evicted", message="The node was low on resource: memory.")
    pod = client.wait_for_phase("evicted", "Failed")
    status = pod["status"]
    assert (status["reason"], status["message"]) == ("Evicted", "The node was low on resource: memory.")
    assert "Evicted" in event_reasons(client, pod)
    with client.watch(resourceVersion=version, timeoutSeconds=1) as events:
        first, *_ = [event["object"] for event in events]
    assert (first["status"]["phase"], first["status"].get("reason")) == ("Running", None)
    assert state_of(first) == "terminated"
    assert "DisruptionTarget" not in {entry["type"] for entry in first["status"]["conditions"]}


def test_a_pod_that_is_deleted_while_its_image_is_missing_ends_as_recorded(client: SandboxClient) -> None:
    client.create("imageless", containers=[{"name": "base", "image": "x:does-not-exist", "command": ["true"]}])
    client.wait("imageless", lambda pod: waiting_reason(pod) == "ErrImagePull")
    version = client.get(PODS)["metadata"]["resourceVersion"]
    client.delete("imageless")
    client.wait_until_gone("imageless")
    with client.watch(resourceVersion=version, timeoutSeconds=1) as events:
        last = list(events)[-1]
    assert (last["type"], last["object"]["status"]["phase"]) == ("DELETED", "Failed")
    assert terminated(last["object"]) == {
        "exitCode": 137,
        "reason": "ContainerStatusUnknown",
        "message": "The container could not be located when the pod was terminated",
        "startedAt": None,
        "finishedAt": None,
    }


def test_a_deadline_that_is_set_while_a_pod_runs_ends_it_and_it_stays(client: SandboxClient) -> None:
    client.create("limited", *SLEEP)
    client.wait_for_phase("limited", "Running")
    body = {"spec": {"activeDeadlineSeconds": 1}}
    headers = {"content-type": "application/merge-patch+json"}
    assert client.http.patch(f"{PODS}/limited", json=body, headers=headers).status_code == 200
    assert client.wait_for_phase("limited", "Failed")["status"]["reason"] == "DeadlineExceeded"


def test_an_eviction_through_the_api_deletes_the_pod_with_its_grace(client: SandboxClient) -> None:
    client.create("moved", *SLEEP)
    client.wait_for_phase("moved", "Running")
    body = {"metadata": {"name": "moved"}, "deleteOptions": {"gracePeriodSeconds": 5}}
    assert client.post(f"{PODS}/moved/eviction", body)["status"] == "Success"
    client.wait_until_gone("moved")


def test_a_lost_node_takes_its_pods_with_it_and_new_ones_wait_for_its_return(
    client: SandboxClient, sandbox: FaultySandbox, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    client.create("lost", "sh", "-c", f"echo $$$$ > {pids}; exec sleep 1000")
    until(lambda: len(pids_in(pids)) == 1)
    client.wait_for_phase("lost", "Running")
    version = client.get(PODS)["metadata"]["resourceVersion"]
    sandbox.faults.lose_node()
    with client.watch(resourceVersion=version, timeoutSeconds=1) as events:
        last = list(events)[-1]
    assert (last["type"], last["object"]["status"]["reason"]) == ("DELETED", "NodeLost")
    until(lambda: not is_alive(pids_in(pids)[0]))
    client.create("hopeful", "true")
    client.wait("hopeful", lambda pod: "untolerated taint" in str(pod["status"].get("conditions")))
    sandbox.faults.recover_node()
    client.wait_for_phase("hopeful", "Succeeded")


def test_a_namespace_goes_after_its_last_pod_and_takes_no_new_ones(client: SandboxClient) -> None:
    client.post("/api/v1/namespaces", {"metadata": {"name": "ending"}})
    pods = "/api/v1/namespaces/ending/pods"
    container = {"name": "base", "image": "x:1", "command": ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]}
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]}
    body = {"metadata": {"name": "slow"}, "spec": spec}
    client.post(pods, body)
    until(lambda: client.get(f"{pods}/slow")["status"]["phase"] == "Running")
    client.http.delete("/api/v1/namespaces/ending")
    refused = client.http.post(pods, json={**body, "metadata": {"name": "late"}})
    assert (refused.status_code, refused.json()["details"]["causes"][0]["reason"]) == (403, "NamespaceTerminating")
    until(lambda: client.http.get("/api/v1/namespaces/ending").status_code == 404)
