"""Agents as processes of their own: started, told to end, and killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hybrid_executor.config import airflow_config
from hybrid_executor.config.identity import read_fingerprints, read_secrets
from hybrid_executor.states import State
from tests import store_view
from tests.waiting import PATIENCE_SECONDS

from .conftest import World, wait_until

LEASE_SECONDS = 2
MEMORY_LIMIT_MEGABYTES = 180


class AgentProcess:
    """``python -m hybrid_executor.agent`` and what it wrote."""

    def __init__(self, name: str, environment: dict[str, str], log: Path, *arguments: str) -> None:
        self.name = name
        self._log = log
        with log.open("w") as file:
            command = [sys.executable, "-m", "hybrid_executor.agent", "--name", name, *arguments]
            self.process = subprocess.Popen(command, env=environment, stderr=file, stdout=file)

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def megabytes(self) -> int:
        [line] = [row for row in Path(f"/proc/{self.process.pid}/status").read_text().splitlines() if "VmRSS" in row]
        return int(line.split()[1]) // 1024

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(PATIENCE_SECONDS)


Start = Callable[..., AgentProcess]


@pytest.fixture
def start(world: World, tmp_path: Path) -> Iterator[Start]:
    started: list[AgentProcess] = []

    def start_process(name: str, *arguments: str, **options: str) -> AgentProcess:
        values = {
            "hybrid_executor__redis_url": world.redis_url,
            "hybrid_executor__routes": "*=kubernetes",
            "hybrid_executor__agent_lease": str(LEASE_SECONDS),
            "kubernetes_executor__in_cluster": "False",
            "kubernetes_executor__config_file": str(world.kubeconfig),
            "kubernetes_executor__pod_template_file": str(world.template),
            **options,
        }
        set_options = {f"AIRFLOW__{option.upper()}": value for option, value in values.items()}
        environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path / "home"), **set_options}
        started.append(AgentProcess(name, environment, tmp_path / f"{name}.log", *arguments))
        return started[-1]

    yield start_process
    for agent in started:
        agent.process.kill()
        agent.process.wait()


def alive(world: World) -> set[str]:
    return store_view.alive(world.store, "agent")


def test_another_agent_goes_on_watching_when_the_watcher_is_killed(world: World, start: Start) -> None:
    first, second = start("first"), start("second")
    wait_until(lambda: alive(world) == {"first", "second"} and world.watcher(), seconds=40)
    watcher, other = (first, second) if world.watcher() == "first" else (second, first)
    attempts = world.submit(world.held, count=8)
    world.wait_for(State.RUNNING, attempts)
    watcher.process.kill()
    killed_at = time.monotonic()
    world.let_end()
    wait_until(lambda: world.watcher() == other.name)
    # The lease runs out, and the other asks for it every third of its time.
    assert time.monotonic() - killed_at < 60
    world.wait_for(State.SUCCEEDED, attempts)
    wait_until(lambda: not world.pods(), what="no pod left")
    assert all(world.states(attempt).count("succeeded") == 1 for attempt in attempts)
    assert other.megabytes < MEMORY_LIMIT_MEGABYTES
    assert other.end() == 0


def test_what_a_killed_agent_was_launching_is_launched_once_by_another(world: World, start: Start) -> None:
    ran = world.directory / "ran"
    first = start("first")
    wait_until(lambda: world.watcher() == "first", seconds=40)
    slow = world.sandbox.faults.slow(2.0, verb="create", path="/pods$")
    attempts = world.submit(f"echo ran >> {ran}", count=4)
    wait_until(lambda: world.sandbox.faults.hits(slow) == 4, what="all creations to be under way")
    first.process.kill()
    world.sandbox.faults.remove(slow)
    start("second")
    world.wait_for(State.SUCCEEDED, attempts, seconds=40)
    wait_until(world.launch_stream_is_empty, what="the launches to be acknowledged")
    wait_until(lambda: not world.pods(), what="no pod left")
    assert ran.read_text().splitlines() == ["ran"] * 4
    assert {world.record(attempt).launches for attempt in attempts} == {0}


def test_an_agent_that_is_told_to_end_leaves_nothing_to_wait_for(world: World, start: Start) -> None:
    agent = start("only")
    wait_until(lambda: world.watcher() == "only", seconds=40)
    world.wait_for(State.SUCCEEDED, world.submit())
    announced = wait_until(lambda: world.store.presence.fields("agent", "only"))
    assert read_secrets(announced) == read_fingerprints(airflow_config(), instance="airflow")
    assert "api_auth.jwt_secret" in read_secrets(announced)
    assert agent.end() == 0
    assert world.watcher() == ""
    assert alive(world) == set()
    client: Any = world.store.client
    assert client.xinfo_consumers(world.store.keys.launch("default"), "launchers") == []
    assert "secret-token" not in agent.log


def test_a_wrong_redis_password_ends_the_agent_with_words_that_help(world: World, start: Start) -> None:
    client: Any = world.store.client
    client.config_set("requirepass", "right")
    try:
        agent = start("only", hybrid_executor__redis_url=world.redis_url.replace("//", "//:not-the-password@"))
        assert agent.process.wait(PATIENCE_SECONDS) == 2
    finally:
        client.execute_command("AUTH", "right")
        client.config_set("requirepass", "")
    assert "[hybrid_executor] redis_url" in agent.log
    assert "not-the-password" not in agent.log
    assert "Traceback" not in agent.log


def test_a_redis_that_is_not_there_yet_is_waited_for_and_named_once(start: Start) -> None:
    agent = start("only", hybrid_executor__redis_url="redis://127.0.0.1:1/0")
    wait_until(lambda: "Redis unavailable, trying again" in agent.log, seconds=40)
    time.sleep(1)
    assert agent.log.count("Redis unavailable, trying again") == 1
    assert agent.end() == 0


def test_an_agent_ends_with_its_parent(world: World, start: Start) -> None:
    parent = subprocess.Popen(["sleep", "60"])
    agent = start("child", "--parent-pid", str(os.getpid()))
    orphan = start("orphan", "--parent-pid", str(parent.pid))
    parent.kill()
    parent.wait()
    # It is not our child's parent, so for the agent that parent has gone.
    assert orphan.process.wait(PATIENCE_SECONDS) == 0
    wait_until(lambda: alive(world) == {"child"}, seconds=40)
    assert agent.end() == 0


def test_no_route_to_kubernetes_is_said_at_once(start: Start) -> None:
    agent = start("only", hybrid_executor__routes="*=celery")
    assert agent.process.wait(PATIENCE_SECONDS) == 2
    assert "has no route to kubernetes" in agent.log


def local_settings(world: World, text: str) -> None:
    folder = world.directory / "home" / "config"
    folder.mkdir(parents=True)
    (folder / "airflow_local_settings.py").write_text(text)


def test_the_deployments_mutation_hook_has_the_last_word(world: World, start: Start) -> None:
    local_settings(world, "def pod_mutation_hook(pod):\n    pod.metadata.labels['team'] = 'blue'\n")
    start("only")
    [attempt] = world.submit(world.held)
    world.wait_for(State.RUNNING, [attempt], seconds=40)
    [pod] = world.pods()
    world.let_end()
    assert pod["metadata"]["labels"]["team"] == "blue"


def test_local_settings_that_cannot_be_loaded_stop_the_agent(world: World, start: Start) -> None:
    local_settings(world, "import no_such_module_anywhere\n")
    agent = start("only")
    assert agent.process.wait(PATIENCE_SECONDS) == 2
    assert "airflow_local_settings" in agent.log
    assert "no_such_module_anywhere" in agent.log
