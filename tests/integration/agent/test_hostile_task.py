"""A task in a pod that has waited reads all that it can reach there, and finds no token but its own.

The program of the pods is the real one. What it imports as Airflow is a stand-in whose task runs, like a real one, in a
child process. It reads arguments, environment, open files and memory of itself and of all processes above it in its
pod, and the files of its pod.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hybrid_executor.events import AttemptId
from hybrid_executor.states import State
from tests.integration.agent.conftest import World
from tests.integration.agent.warm_world import WarmWorld
from tests.waiting import wait_until

TEMPLATE = """
apiVersion: v1
kind: Pod
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  containers:
  - name: base
    image: task:1
    env:
    - {{name: PYTHONPATH, value: {airflow}}}
    - {{name: REPORTS, value: {reports}}}
"""

AIRFLOW = {
    "airflow/__init__.py": "",
    "airflow/executors/__init__.py": "",
    "airflow/executors/workloads.py": "All = dict[str, str]",
    "airflow/sdk/__init__.py": "",
    "airflow/sdk/execution_time/__init__.py": "",
    "airflow/sdk/execution_time/execute_workload.py": '''
import json, os, re, sys
from pathlib import Path

TOKEN = re.compile(rb"token-of-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def read(path):
    try:
        return Path(path).read_bytes() if os.path.isfile(path) else b""
    except OSError:
        return b""


def memory_of(pid):
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            first, last = (int(part, 16) for part in line.split()[0].split("-"))
            try:
                memory.seek(first)
                yield memory.read(last - first)
            except (OSError, ValueError, OverflowError):
                continue


def reach():
    """Yield what stands in this process and in those above it, up to the first of the pod."""
    pid = os.getpid()
    while True:
        yield from (read(f"/proc/{pid}/{name}") for name in ("environ", "cmdline"))
        yield from (read(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))
        try:
            yield from memory_of(pid)
        except OSError:
            pass
        if pid == FIRST:
            break
        pid = int(read(f"/proc/{pid}/stat").rsplit(b")", 1)[1].split()[1])
    yield from (read(path) for path in Path.cwd().rglob("*"))


FIRST = os.getpid()


def execute_workload(workload):
    child = os.fork()
    if child:
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    inputs = os.readlink("/proc/self/fd/0"), os.readlink(f"/proc/{FIRST}/fd/0"), sys.stdin.read()
    found = sorted({match.decode() for content in reach() for match in TOKEN.findall(content)})
    attempt = workload["token"].removeprefix("token-of-")
    report = Path(os.environ["REPORTS"], attempt + ".json")
    report.with_suffix(".new").write_text(json.dumps({"inputs": inputs, "found": found}))
    os.rename(report.with_suffix(".new"), report)
    os._exit(0)
''',
}


class Hostile:
    def __init__(self, world: World) -> None:
        self.warm = WarmWorld(world, idle=2, most=2)
        self.reports = world.directory / "reports"
        self.reports.mkdir()
        airflow = world.directory / "airflow"
        for name, text in AIRFLOW.items():
            (airflow / name).parent.mkdir(parents=True, exist_ok=True)
            (airflow / name).write_text(text)
        world.template.write_text(TEMPLATE.format(airflow=airflow, reports=self.reports))

    def run(self, attempts: list[AttemptId]) -> list[dict[str, Any]]:
        """Return what each attempt's task reports."""
        self.warm.world.wait_for(State.SUCCEEDED, attempts)
        paths = [Path(self.reports, f"{attempt}.json") for attempt in attempts]
        wait_until(lambda: all(path.exists() for path in paths))
        return [json.loads(path.read_text()) for path in paths]


@pytest.fixture
def hostile(world: World) -> Hostile:
    return Hostile(world)


def check(reports: list[dict[str, Any]], attempts: list[AttemptId]) -> None:
    for attempt, report in zip(attempts, reports, strict=True):
        assert set(report["found"]) == {f"token-of-{attempt}"}, "it looked where its own token is, and found no other"
        assert report["inputs"] == ["/dev/null", "/dev/null", ""], "standard input was closed before it started"


def test_a_task_in_a_warm_pod_finds_no_token_but_its_own(hostile: Hostile) -> None:
    warm = hostile.warm
    warm.start_agent()
    pods = warm.wait_for_ready(2)
    attempts = warm.submit(count=2)
    reports = hostile.run(attempts)
    assert {warm.world.record(attempt).pod for attempt in attempts} == pods
    check(reports, attempts)


def test_a_task_that_gets_its_token_by_standard_input_finds_no_other(hostile: Hostile) -> None:
    warm = hostile.warm
    warm.options = {"pod_token": "stdin"}
    warm.start_agent()
    attempts = warm.submit(count=2, profile="plain")
    check(hostile.run(attempts), attempts)
