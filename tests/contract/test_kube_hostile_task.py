"""A task reads all that it can reach in its pod, and finds no token but its own.

In the sandbox, and on a real cluster where ``KUBECONFIG`` names one; there the image that ``HYBRID_TEST_IMAGE`` names
needs a ``python`` with pydantic. The program of the pods is the real one. What it imports as Airflow is a stand-in
whose task runs, like a real one, in a child process. It reads arguments, environment, open files and memory of all
processes of its pod, its standard input, and all files. The processes and files of the sandbox's pods are those of this
machine, so there it reads those above it, up to the first process of its pod, and its working folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hybrid_executor.events import AttemptId
from hybrid_executor.states import State
from tests.conftest import RedisServer

from .kube_ground import Ground, ground

pytestmark = [pytest.mark.kube, pytest.mark.redis, pytest.mark.filterwarnings("ignore:Unverified HTTPS request")]

AT_ONCE = 2
MOUNTED = "/hostile"
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
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
FIRST = os.getpid()
memories = []


def processes():
    """Yield those of the pod."""
    if os.environ["HAS_OWN_MACHINE"]:
        yield from (int(name) for name in os.listdir("/proc") if name.isdigit())
        return
    pid = os.getpid()
    while pid != FIRST:
        yield pid
        pid = int(read(f"/proc/{pid}/stat").rsplit(b")", 1)[1].split()[1])
    yield FIRST


def files():
    for folder, folders, names in os.walk("/" if os.environ["HAS_OWN_MACHINE"] else os.getcwd()):
        folders[:] = [name for name in folders if (folder, name) not in (("/", "proc"), ("/", "sys"))]
        folders[:] = [name for name in folders if name not in ("site-packages", "dist-packages")]
        yield from (os.path.join(folder, name) for name in names)


def read(path):
    try:
        return Path(path).read_bytes() if os.path.isfile(path) else b""
    except OSError:
        return b""


def memory_of(pid):
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        memories.append(pid)
        for line in maps:
            first, last = (int(part, 16) for part in line.split()[0].split("-"))
            try:
                memory.seek(first)
                yield memory.read(last - first)
            except (OSError, ValueError, OverflowError):
                continue


def reach():
    for pid in processes():
        yield from (read(f"/proc/{pid}/{name}") for name in ("environ", "cmdline"))
        try:
            yield from (read(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))
            yield from memory_of(pid)
        except OSError:
            continue
    yield from map(read, files())


def execute_workload(workload):
    child = os.fork()
    if child:
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    inputs = os.readlink("/proc/self/fd/0"), os.readlink(f"/proc/{FIRST}/fd/0"), sys.stdin.read()
    found = sorted({match.decode() for content in reach() for match in TOKEN.findall(content)})
    report = {"inputs": inputs, "found": found, "memories": len(memories), "account": os.path.exists(ACCOUNT)}
    print("report", json.dumps(report), flush=True)
    os._exit(0)
''',
}


def write_template(place: Ground, *, is_sandbox: bool) -> None:
    """Write a template like the shipped one, whose pods find the stand-in in place of Airflow."""
    base: dict[str, Any] = {"name": "base"}
    spec = {"terminationGracePeriodSeconds": 1, "automountServiceAccountToken": False, "containers": [base]}
    if is_sandbox:
        where = place.folder / "airflow"
        for name, text in AIRFLOW.items():
            (where / name).parent.mkdir(parents=True, exist_ok=True)
            (where / name).write_text(text)
        environment = {"PYTHONPATH": str(where), "HAS_OWN_MACHINE": ""}
    else:
        make_config_map(place)
        items = [{"key": key_of(name), "path": name} for name in AIRFLOW]
        spec["volumes"] = [{"name": "hostile", "configMap": {"name": "hostile", "items": items}}]
        base["volumeMounts"] = [{"name": "hostile", "mountPath": MOUNTED}]
        base["command"] = ["/usr/bin/env"]  # in place of the image's own entry point
        environment = {"PYTHONPATH": MOUNTED, "HAS_OWN_MACHINE": "yes"}
    base["env"] = [{"name": name, "value": value} for name, value in environment.items()]
    template = {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": spec}
    (place.folder / "template.yaml").write_text(json.dumps(template))


def key_of(name: str) -> str:
    """Return the key of a file in the config map, where a key has no slash."""
    return name.replace("/", ".")


def make_config_map(place: Ground) -> None:
    data = {key_of(name): text for name, text in AIRFLOW.items()}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "hostile"}, "data": data}
    path = f"/api/v1/namespaces/{place.cluster.namespace}/configmaps"
    place.cluster.transport.call("POST", path, doing="create config map", body=body)


def report_of(place: Ground, attempt: AttemptId) -> dict[str, Any]:
    """Wait for the attempt's end; return what its task reports."""
    log = place.log(place.wait_for(attempt, State.SUCCEEDED))
    [line] = [line for line in log.splitlines() if line.startswith("report ")]
    report: dict[str, Any] = json.loads(line.removeprefix("report "))
    return report


@pytest.mark.parametrize("profile", ["warm", "own"])
@pytest.mark.parametrize("where", ["sandbox", "cluster"])
def test_a_task_finds_no_token_but_its_own(where: str, profile: str, redis_server: RedisServer, tmp_path: Path) -> None:
    options = {"routes": f"*=kubernetes:{profile}", "pod_token": "stdin"}
    with ground(where, redis_server.url, tmp_path, idle=AT_ONCE, **options) as place:
        write_template(place, is_sandbox=where == "sandbox")
        with place.agent():
            waiting = place.wait_for_ready(AT_ONCE) if profile == "warm" else set()
            attempts = [place.submit(profile) for _ in range(AT_ONCE)]
            reports = [report_of(place, attempt) for attempt in attempts]
            assert {place.record(attempt).pod for attempt in attempts} == waiting or profile == "own"
    for attempt, report in zip(attempts, reports, strict=True):
        assert report["found"] == [f"token-of-{attempt}"], "it looked where its own token is, and found no other"
        assert report["inputs"] == ["/dev/null", "/dev/null", ""], "standard input was closed before it started"
        assert report["memories"], "it could read memory"
        assert not report["account"], "the template's pods have no service account token"
