"""The sandbox as a process: it starts, is found, carries load, and leaves nothing behind, however it ends."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from hybrid_executor.errors import HybridError
from hybrid_executor.sandbox.node import NodeSettings
from hybrid_executor.sandbox.server import SandboxServer
from tests.contract.sandbox_client import PODS, Json, SandboxClient, terminated, until
from tests.waiting import PATIENCE_SECONDS

FAMILY = "sleep 1000 & echo $! >> {pids}; setsid sh -c 'echo $$$$ >> {pids}; exec sleep 1000' & wait"


def pids_in(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


@contextmanager
def served(path: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Serve a sandbox in a process of its own until the block ends; the line it prints has been read."""
    command = [sys.executable, "-m", "hybrid_executor.sandbox", "--kubeconfig", str(path), *arguments]
    environment = {**os.environ, "TMPDIR": str(path.parent)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert f"KUBECONFIG={path}" in line
        try:
            yield process
        finally:
            process.kill()


def request_from(path: Path) -> httpx.Client:
    config = json.loads(path.read_text())
    headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}"}
    return httpx.Client(base_url=config["clusters"][0]["cluster"]["server"], headers=headers, timeout=PATIENCE_SECONDS)


def run_family(client: httpx.Client, pids: Path) -> list[int]:
    """Run a pod with a child in its own session and one in another; return their ids once both run."""
    container = {"name": "base", "image": "x", "command": ["sh", "-c", FAMILY.format(pids=pids)]}
    client.post(PODS, json={"metadata": {"name": "family"}, "spec": {"containers": [container]}}).raise_for_status()
    until(lambda: len(pids_in(pids)) == 2)
    return pids_in(pids)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_pod_outlives_a_served_sandbox(number: signal.Signals, tmp_path: Path) -> None:
    with served(tmp_path / "config", "--capacity", "2") as process, request_from(tmp_path / "config") as client:
        pids = run_family(client, tmp_path / "pids")
        assert all(psutil.pid_exists(pid) for pid in pids)
        process.send_signal(number)
        assert process.wait(timeout=PATIENCE_SECONDS) == (-number if number == signal.SIGKILL else 0)
        until(lambda: not any(psutil.pid_exists(pid) for pid in pids))
    until(lambda: list(tmp_path.glob("hybrid-sandbox-*")) == [])
    assert (tmp_path / "config").exists() is (number == signal.SIGKILL)


def test_a_kubeconfig_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.touch(mode=0o644)
    with SandboxServer(runs_pods=False) as sandbox:
        sandbox.write_kubeconfig(path, namespace="elsewhere")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        config = json.loads(path.read_text())
        assert config["contexts"][0]["context"]["namespace"] == "elsewhere"
        assert config["clusters"][0]["cluster"]["server"] == sandbox.url


def test_the_sandbox_listens_on_loopback_only() -> None:
    with SandboxServer(runs_pods=False) as sandbox:
        port = int(sandbox.url.rpartition(":")[2])
        listening = {
            entry.laddr.ip
            for entry in psutil.Process().net_connections("inet")
            if entry.status == psutil.CONN_LISTEN and entry.laddr.port == port
        }
        assert listening == {"127.0.0.1"}


def test_stopping_ends_pods_threads_and_files_and_can_be_repeated(tmp_path: Path) -> None:
    sandbox = SandboxServer()
    sandbox.stop()
    sandbox.start()
    client = SandboxClient(sandbox)
    pids = run_family(client.http, tmp_path / "pids")
    runtime = sandbox.runtime_pid
    assert psutil.pid_exists(runtime)
    assert sandbox.directory.exists()
    sandbox.stop(grace_seconds=5)
    client.close()
    assert not any(psutil.pid_exists(pid) for pid in (*pids, runtime))
    assert not sandbox.directory.exists()
    assert not any(thread.name == "hybrid-sandbox" for thread in threading.enumerate())
    sandbox.stop()
    with pytest.raises(HybridError, match="not running"):
        sandbox.call(lambda: None)
    with pytest.raises(HybridError, match="started once"):
        sandbox.start()


def test_pods_fail_with_the_runtime_that_runs_them(tmp_path: Path) -> None:
    with SandboxServer() as sandbox:
        client = SandboxClient(sandbox)
        client.create("orphaned", "sh", "-c", f"echo $$$$ > {tmp_path}/pids; exec sleep 1000")
        client.wait_for_phase("orphaned", "Running")
        until(lambda: len(pids_in(tmp_path / "pids")) == 1)
        os.kill(sandbox.runtime_pid, signal.SIGKILL)
        assert terminated(client.wait_for_phase("orphaned", "Failed"))["exitCode"] == 137
        until(lambda: not psutil.pid_exists(pids_in(tmp_path / "pids")[0]))
        client.close()


def test_a_pod_has_the_grace_to_end_by_itself_when_the_sandbox_stops(tmp_path: Path) -> None:
    script = (
        "import pathlib, signal, sys\n"
        f"signal.signal(15, lambda *_: (pathlib.Path('{tmp_path}/ended').touch(), sys.exit()))\n"
        f"pathlib.Path('{tmp_path}/up').touch()\n"
        "while True: signal.pause()\n"
    )
    with SandboxServer() as sandbox:
        client = SandboxClient(sandbox)
        client.create("polite", "python", "-c", script)
        until((tmp_path / "up").exists)
        client.close()
    assert (tmp_path / "ended").exists()


def test_a_port_that_is_taken_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        SandboxServer(port=taken.getsockname()[1]).start()


def test_thousands_of_pods_run_through_many_connections() -> None:
    count, connections = 2000, 8

    def spec(number: int) -> Json:
        """Every twentieth pod runs a process, so that the test is about pods."""
        container = {"name": "base", "image": "apache/airflow:3.3.2", "command": [] if number % 20 else ["true"]}
        return {"restartPolicy": "Never", "containers": [container]}

    with SandboxServer(node=NodeSettings(pod_capacity=32)) as sandbox:
        headers = {"Authorization": f"Bearer {sandbox.token}", "Content-Type": "application/json"}

        def create(first: int) -> None:
            connection = http.client.HTTPConnection(sandbox.url.removeprefix("http://"))
            for number in range(first, count, connections):
                body = json.dumps({"metadata": {"name": f"p{number}"}, "spec": spec(number)})
                connection.request("POST", PODS, body, headers)
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 201
            connection.close()

        with ThreadPoolExecutor(connections) as threads:
            list(threads.map(create, range(connections)))
        client = SandboxClient(sandbox)
        unfinished = {"fieldSelector": "status.phase!=Succeeded", "limit": 1}
        until(lambda: client.get(PODS, **unfinished)["items"] == [])
        listed = client.get(PODS, limit=count)["items"]
        client.close()
    assert len(listed) == count
    assert all(pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 0 for pod in listed)


@pytest.mark.parametrize(
    ("image", "policy", "reason", "words"),
    [
        ("team/etl:typo", "IfNotPresent", "ErrImagePull", "team/etl:typo: not found"),
        ("team/etl:typo", "IfNotPresent", "ImagePullBackOff", 'Back-off pulling image "team/etl:typo"'),
        ("team/etl:typo", "Never", "ErrImageNeverPull", "not present with pull policy of Never"),
        ("registry.example.com/etl:1", "Always", "ErrImagePull", "503 Service Unavailable"),
        ("registry.example.com/etl:1", "Always", "ImagePullBackOff", "503 Service Unavailable"),
        ("registry.example.com/etl:1", "Never", "ErrImageNeverPull", "not present with pull policy of Never"),
    ],
)
def test_images_are_missing_or_fail_by_pattern(
    picky: httpx.Client, image: str, policy: str, reason: str, words: str
) -> None:
    container = {"name": "base", "image": image, "imagePullPolicy": policy, "command": ["true"]}
    body = {"metadata": {"generateName": "picky-"}, "spec": {"containers": [container]}}
    name = picky.post(PODS, json=body).raise_for_status().json()["metadata"]["name"]
    seen: list[dict[str, str]] = []

    def waits() -> bool:
        status = picky.get(f"{PODS}/{name}").json()["status"]
        seen.extend(entry["state"].get("waiting", {}) for entry in status.get("containerStatuses", []))
        return any(state.get("reason") == reason and words in state.get("message", "") for state in seen)

    until(waits, lambda: seen)
    picky.delete(f"{PODS}/{name}", params={"gracePeriodSeconds": 0})


def test_a_pattern_is_for_the_whole_image_and_all_others_run(picky: httpx.Client) -> None:
    for number, image in enumerate(["registry.example.com.mirror/etl:1", "team/etl:typo2", "apache/airflow"]):
        container = {"name": "base", "image": image, "command": ["true"]}
        body = {"metadata": {"name": f"fine-{number}"}, "spec": {"containers": [container], "restartPolicy": "Never"}}
        picky.post(PODS, json=body).raise_for_status()
        until(lambda path=f"{PODS}/fine-{number}": picky.get(path).json()["status"]["phase"] == "Succeeded")


@pytest.fixture(scope="module")
def picky(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Asks a sandbox in which some images are missing and others fail."""
    path = tmp_path_factory.mktemp("picky") / "kubeconfig"
    options = ["--missing-image=*:typo", "--missing-image=other/*", "--failing-image=registry.example.com/*"]
    with served(path, *options), request_from(path) as client:
        yield client
