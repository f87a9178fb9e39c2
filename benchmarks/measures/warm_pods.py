"""Start tasks in pods of their own and in warm pods: from the submission until the task asks Airflow's API to run.

Tasks come at once, or in a stream of one per second. In the stream, pods of their own are measured twice: with the
workload in their arguments, and by their standard input (``[hybrid_executor] pod_token = stdin``).

A server stands in for Airflow's execution API. It notes when each task asks for the first time, and refuses: the task
then ends. Without ``KUBECONFIG`` the pods are processes of the sandbox. With it, they run on that cluster, which needs
``HYBRID_BENCH_IMAGE`` (an image with Airflow) and ``HYBRID_BENCH_HOST`` (an address of this machine that pods reach).
"""

from __future__ import annotations

import json
import logging
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench
from benchmarks.inside.workloads import make_tasks
from benchmarks.rows import Budget, Row
from hybrid_executor.agent.main import run_agent
from hybrid_executor.config import DictConfig, read_settings
from hybrid_executor.config.kubernetes import read_kubernetes_settings
from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.kube.client import connect
from hybrid_executor.kube.warm_pod import WAITING, warm_selector
from hybrid_executor.sandbox.node import NodeSettings
from hybrid_executor.sandbox.server import SandboxServer
from hybrid_executor.store import RedisSettings, Submission, open_store

_INSTANCE = "bench"
_PATIENCE_SECONDS = 1800.0
_WAYS = {"cold": "cold", "stdin": "cold with the token by stdin", "warm": "warm"}
_ON_A_CLUSTER = Budget(most=500), Budget(most=1000)
_TEMPLATE = """
apiVersion: v1
kind: Pod
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  containers:
  - name: base
    image: {image}
    env: [{{name: AIRFLOW__CORE__EXECUTION_API_SERVER_URL, value: "{url}"}}]
"""


def measure(bench: Bench, *, counts: tuple[int, ...] = (20,), stream: int = 20, idle: int = 5) -> Iterator[Row]:
    """Yield milliseconds from submission to the task's first request, p50 and p99, cold and warm.

    :param counts: tasks at once; as many pods wait for them. :param stream: tasks that come one per second, 0 for none.
    :param idle: pods that wait when the stream begins, and that are replaced.
    """
    for count in counts:
        yield from _rows(
            bench, f"{count} tasks at once", count=count, idle=count, every_seconds=0.0, ways=("cold", "warm")
        )
    if stream:
        what = f"{stream} tasks, one per second"
        ways = ("cold", "stdin", "warm")
        yield from _rows(bench, what, count=stream, idle=min(stream, idle), every_seconds=1.0, ways=ways)


def _rows(
    bench: Bench, what: str, *, count: int, idle: int, every_seconds: float, ways: Sequence[str]
) -> Iterator[Row]:
    budgets = _ON_A_CLUSTER if os.environ.get("KUBECONFIG") else (Budget(), Budget())
    with _without_log():
        courses = [(way, _course(bench, count=count, idle=idle, every_seconds=every_seconds, way=way)) for way in ways]
    for which, budget in zip((50, 99), budgets, strict=True):
        for way, times in courses:
            yield Row(
                benchmark="warm_pods",
                metric=f"{what}, {_WAYS[way]}, p{which}",
                unit="ms",
                ours=1000 * _percentile(times, which),
                budget=budget if way == "warm" else Budget(),
            )


@contextmanager
def _without_log() -> Iterator[None]:
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _percentile(values: Sequence[float], which: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[which - 1] if len(values) > 1 else values[0]


class _Asked:
    """The stand-in of Airflow's execution API.

    :ivar first: when each task instance asked first, in seconds since the epoch.
    """

    def __init__(self, host: str) -> None:
        self.first: dict[str, float] = {}
        asked = self

        class Handler(BaseHTTPRequestHandler):
            def do_PATCH(self) -> None:
                asked.first.setdefault(self.path.split("/task-instances/")[-1].split("/")[0], time.time())
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body = json.dumps({"detail": {"reason": "invalid_state", "message": "measured", "previous_state": "x"}})
                self.send_response(409)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            do_GET = do_POST = do_PUT = do_PATCH  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:
                return

        self._server = ThreadingHTTPServer((host, 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        port: int = self._server.server_address[1]
        return port

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _course(bench: Bench, *, count: int, idle: int, every_seconds: float, way: str) -> list[float]:
    """Submit so many tasks; return the seconds of each until it asked."""
    is_warm = way == "warm"
    bench.servers.empty_redis()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="warm-pods-")))
        kubeconfig, host, image = stack.enter_context(_cluster(folder, count))
        asked = _Asked("0.0.0.0" if os.environ.get("KUBECONFIG") else host)  # noqa: S104
        stack.callback(asked.close)
        template, profiles = folder / "template.yaml", folder / "profiles.json"
        template.write_text(_TEMPLATE.format(image=image, url=f"http://{host}:{asked.port}/execution/"))
        profile = {"warm": {"idle": idle, "most": count}} if is_warm else {}
        profiles.write_text(json.dumps({"bench": profile}))
        url = bench.servers.redis_url()
        hybrid = {"redis_url": url, "instance": _INSTANCE, "profiles_file": str(profiles), "pod_creation_rate": "100"}
        hybrid["pod_token"] = "stdin" if way == "stdin" else "args"
        settings = read_settings(DictConfig({"hybrid_executor": {**hybrid, "routes": "*=kubernetes:bench"}}))
        kubernetes = read_kubernetes_settings(
            DictConfig(
                {
                    "kubernetes_executor": {
                        "in_cluster": "False",
                        "config_file": kubeconfig,
                        "pod_template_file": str(template),
                    }
                }
            )
        )
        stop = threading.Event()
        agent = threading.Thread(
            target=lambda: run_agent(
                settings=replace(settings, starting_pods=0), kubernetes_settings=kubernetes, stop=stop
            )
        )
        agent.start()
        stack.callback(agent.join)
        stack.callback(stop.set)
        store = open_store(RedisSettings(url=url), instance=_INSTANCE)
        stack.callback(store.close)
        if is_warm:
            keys = f"{store.keys.prefix}warm-ready:*"
            _wait(lambda: sum(int(store.client.zcard(str(key))) for key in store.client.keys(keys)) >= idle)
        else:
            _wait(lambda: any(member.is_alive for member in store.presence.members("agent")))
        tasks = make_tasks(count, queue="q")
        began: dict[str, float] = {}
        for some in [[task] for task in tasks] if every_seconds else [tasks]:
            began |= {str(task.ti.id): time.time() for task in some}
            store.attempts.submit([_submission(task) for task in some])
            time.sleep(every_seconds)
        _wait(lambda: len(asked.first) == count)
        client = connect(kubernetes)
        for pod in client.list_pods(kubernetes.namespace, warm_selector(_INSTANCE, WAITING)).items:
            client.delete_pod(kubernetes.namespace, pod["metadata"]["name"], grace_period_seconds=0)
        client.close()
        return [at - began[task] for task, at in asked.first.items()]


@contextmanager
def _cluster(folder: Path, count: int) -> Iterator[tuple[str, str, str]]:
    """Yield a kubeconfig, the address that pods reach this machine at, and an image."""
    if found := os.environ.get("KUBECONFIG"):
        yield found, os.environ["HYBRID_BENCH_HOST"], os.environ["HYBRID_BENCH_IMAGE"]
        return
    with SandboxServer(node=NodeSettings(pod_capacity=3 * count)) as sandbox:
        sandbox.write_kubeconfig(folder / "kubeconfig")
        yield str(folder / "kubeconfig"), "127.0.0.1", "airflow:1"


def _submission(task: Any) -> Submission:
    fields: dict[str, str | int] = {"dag_id": "dag", "task_id": "task", "run_id": "run", "kind": "task", "queue": "q"}
    return Submission(
        attempt=AttemptId(task.ti.external_executor_id),
        owner=OwnerId("1"),
        pool="kubernetes",
        fields={**fields, "try_number": 1, "cluster": "default", "profile": "bench"},
        payload=task.model_dump_json(),
        cluster="default",
    )


def _wait(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError("not all pods became ready, or not all tasks asked Airflow's API to run")
        time.sleep(0.02)
