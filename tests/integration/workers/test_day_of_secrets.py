"""A day of work under marked secrets: whatever is written anywhere, they are in none of it.

The token of every workload and the password of Redis are words that stand nowhere else. Executor, worker and agent do
their work and fail in every way they can, with DEBUG logs and events; monitors and commands look on; Redis refuses
writes. Then everything that was written is searched, also for what only looks different: base64.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from argparse import Namespace
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.pools.celery_message import build_message
from hybrid_executor.sandbox.server import SandboxServer
from hybrid_executor.sandbox.valkey import valkey_command
from hybrid_executor.standalone.ports import choose_port
from hybrid_executor.standalone.process import GuardedProcess
from hybrid_executor.states import State
from hybrid_executor.store import Record, RedisSettings, Store, open_store
from tests.integration.conftest import make_task, set_options
from tests.integration.workers.near_side import callback_json, start_worker_process, wait_until
from tests.store_view import alive
from tests.waiting import PATIENCE_SECONDS

TOKEN = "kJ4markedTokenThatNobodyMaySee7Qz"
PASSWORD = "pW9markedPasswordOfThisRedis3Lk"
TEMPLATE = """
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  containers:
  - {name: base, image: "task:1", command: ["sh", "-c", "exit 3"]}
"""
WORKER_ENDS: dict[str, dict[str, Any]] = {
    "well": {},
    "exit code": {"exit": 3},
    "error": {"raise": f'Illegal header value b"Bearer {TOKEN}"'},
    "no memory": {"memory_error": True},
    "system exit": {"system_exit": 4},
    "killed": {"signal": int(signal.SIGKILL)},
}


class Day:
    """The servers of the day, what was written, and a way to write down more."""

    def __init__(self, directory: Path, redis_url: str, kubeconfig: Path) -> None:
        self.directory = directory
        self.redis_url = redis_url
        self.kubeconfig = kubeconfig
        self.store: Store = open_store(RedisSettings(url=redis_url), instance="airflow")
        self.written: dict[str, str] = {}

    def wait(self, attempt: AttemptId, *states: State) -> Record:
        def found() -> Record | None:
            [record] = self.store.attempts.records([attempt])
            return record if record is not None and record.state in states else None

        record: Record = wait_until(found, seconds=60, what=f"{attempt} is one of {states}")
        return record

    def write(self, name: str, value: object) -> None:
        text = value if isinstance(value, str) else json.dumps(value, default=repr)
        assert text, f"{name} has written nothing"
        self.written[name] = self.written.get(name, "") + text


@pytest.fixture
def day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, airflow_db: None) -> Iterator[Day]:
    port = choose_port()
    command = valkey_command(data_dir=tmp_path / "valkey", port=port, password=PASSWORD)
    with ExitStack() as stack:
        said: list[str] = []
        server = GuardedProcess(command, environment=os.environ, grace_seconds=5, on_line=said.append)
        stack.callback(server.wait, timeout_seconds=10)
        stack.callback(server.stop)
        sandbox = stack.enter_context(SandboxServer())
        sandbox.write_kubeconfig(tmp_path / "kubeconfig")
        (tmp_path / "template.yaml").write_text(TEMPLATE)
        opened = Day(tmp_path, f"redis://:{PASSWORD}@127.0.0.1:{port}/0", tmp_path / "kubeconfig")
        stack.callback(opened.store.close)
        wait_until(lambda: _answers(opened.redis_url), what="Valkey answers")
        set_options(
            monkeypatch,
            hybrid_executor__redis_url=opened.redis_url,
            celery__broker_url=opened.redis_url,
            hybrid_executor__agent="external",
            kubernetes_executor__config_file=str(opened.kubeconfig),
            kubernetes_executor__in_cluster="False",
            kubernetes_executor__pod_template_file=str(tmp_path / "template.yaml"),
        )
        yield opened


def _answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


@contextmanager
def running_agent(day: Day) -> Iterator[None]:
    """Run an agent, and write down what it has said."""
    with (day.directory / "agent.log").open("wb") as output:
        command = [sys.executable, "-m", "hybrid_executor.agent"]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: alive(day.store, "agent"), seconds=60, what="the agent is there")
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)
        day.write("agent", (day.directory / "agent.log").read_text())


@contextmanager
def all_events(app: Celery) -> Iterator[list[Any]]:
    """Collect the events that workers send to monitors."""
    events: list[Any] = []
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": events.append})
        # It asks workers for a sign of life, and returns when it is told to.
        thread = threading.Thread(target=receiver.capture, kwargs={"limit": None, "timeout": None, "wakeup": True})
        thread.start()
        try:
            wait_until(lambda: events, seconds=30, what="events arrive")
            yield events
        finally:
            receiver.should_stop = True
            thread.join()


def callback(queue_name: str, **script: Any) -> Any:
    """Return a callback workload that a scripted worker runs, as Airflow hands it to an executor."""
    import uuid

    from airflow.executors.workloads import ExecuteCallback

    text = callback_json(str(uuid.uuid4()), script).replace("a-token-that-nobody-may-see", TOKEN)
    workload = ExecuteCallback.model_validate_json(text)
    workload.callback.data["queue"] = queue_name
    return workload


def task(name: str, queue_name: str, **fields: Any) -> Any:
    return make_task(name, queue=queue_name, **fields).model_copy(update={"token": TOKEN})


@contextmanager
def full(day: Day) -> Iterator[None]:
    """Let Redis refuse writes."""
    with redis.Redis.from_url(day.redis_url) as client:
        client.config_set("maxmemory", "1")
        try:
            yield
        finally:
            client.config_set("maxmemory", "0")


def foreign_messages() -> list[str]:
    """Return messages as others may have left them in a queue, each with the token somewhere."""
    text = callback_json("11111111-1111-1111-1111-111111111111", {}).replace("a-token-that-nobody-may-see", TOKEN)
    message = json.loads(
        build_message(AttemptId("m1"), text, queue="default", owner=OwnerId("1"), instance="airflow", generation=1)
    )
    headers = message["headers"]

    def changed(name: str, **changes: Any) -> str:
        properties = {**message["properties"], "delivery_tag": name}
        return json.dumps({**message, "properties": properties, "headers": {**headers, "id": name}, **changes})

    return [
        changed("m1", headers={**headers, "id": "m1", "argsrepr": f"('{text}',)", "kwargsrepr": f"{{'a': '{TOKEN}'}}"}),
        changed("m2", body=b64encode(json.dumps([[{"token": TOKEN}], {}, {}]).encode()).decode()),
        changed("m3", body=b64encode(json.dumps([[f'{{"token": "{TOKEN}"'], {}, {}]).encode()).decode()),
        changed("m4", body=b64encode(f'[["{TOKEN}"'.encode()).decode()),
        changed("m5", headers={**headers, "id": "m5", "task": "another.task"}),
        json.dumps({"token": TOKEN}),
    ]


def keys_that_people_see(client: Any) -> Iterator[tuple[str, Any]]:
    """Yield all keys with what they hold, but payloads and the broker's messages."""
    readers: dict[str, Callable[[str], Any]] = {
        "string": client.get,
        "hash": client.hgetall,
        "set": client.smembers,
        "list": lambda key: client.lrange(key, 0, -1),
        "zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        "stream": client.xrange,
    }
    for key in client.scan_iter("*"):
        read = readers.get(client.type(key))  # what has expired has no type
        if read is not None and ":payload:" not in key and key not in ("unacked", "default", "other"):
            yield key, read(key)


def forms_of(secret: str) -> list[str]:
    """Return what a secret looks like as it is and within base64, wherever it begins in there."""
    encoded = [b64encode(b"x" * shift + secret.encode()).decode() for shift in range(3)]
    return [secret, *(text[4 : len(text) // 4 * 4 - 8] for text in encoded)]


def test_the_forms_of_a_secret_are_found_in_base64() -> None:
    for shift in range(3):
        hidden = b64encode(b"y" * shift + TOKEN.encode() + b"more").decode()
        assert any(form in hidden for form in forms_of(TOKEN))


@pytest.mark.timeout(300)
def test_a_day_of_work_shows_no_secret(
    day: Day,
    make_executor_of_the_day: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    worker = start_worker_process(
        day.redis_url,
        "day@test",
        day.directory,
        concurrency=2,
        log_level="DEBUG",
        worker_send_task_events=True,
        worker_prefetch_multiplier=4,
    )
    app = Celery(broker=day.redis_url, set_as_current=False)
    try:
        wait_until(lambda: alive(day.store, "worker"), seconds=60, what="the worker is there")
        executor = make_executor_of_the_day()
        with running_agent(day):
            with all_events(app) as events:
                run_the_day(day, executor, app)
            refuse_writes(day, executor, worker)
        day.write("events", events)
        see(day, capsys)
        day.write("executor", caplog.text)
        executor.debug_dump()
        day.write("event log", [str(row.extra) for row in executor._task_event_logs])
        day.write("told to Airflow", {str(key): told for key, told in executor.get_event_buffer().items()})
    finally:
        worker.kill()
        app.close()
    day.write("worker", worker.output)
    assert "Task execute_workload" in worker.output
    assert "task-received" in day.written["events"]
    found = {
        name: text[max(0, text.index(form) - 300) : text.index(form) + 100]
        for name, text in day.written.items()
        for form in (*forms_of(TOKEN), *forms_of(PASSWORD))
        if form in text
    }
    assert found == {}, "\n".join(f"--- {name}: ...{text}" for name, text in found.items())


def run_the_day(day: Day, executor: Any, app: Celery) -> None:
    """Work, fail in each way, and have monitors look on."""
    go_on = day.directory / "go-on"
    waits = [callback("default", until=str(go_on)) for _ in range(5)]
    queue_all(executor, *waits)
    wait_until(lambda: len(day.store.attempts.live("celery")) == 5, what="five wait")
    inspect = app.control.inspect(timeout=20, limit=1)
    wait_until(lambda: len((inspect.active() or {}).get("day@test", ())) == 2, what="two run", seconds=60)
    ids = list(day.store.attempts.live("celery"))
    for name in ("active", "reserved", "scheduled", "report", "stats", "conf", "registered", "active_queues"):
        answer = getattr(inspect, name)()
        assert answer, name
        day.write(f"inspect {name}", answer)
    day.write("inspect query_task", inspect.query_task(*ids))
    with redis.Redis.from_url(day.redis_url, decode_responses=True) as client:
        for message in foreign_messages():
            client.lpush("default", message)
    go_on.touch()
    scripts = [callback("default", **script) for script in WORKER_ENDS.values()]
    queue_all(executor, *scripts)
    queue_all(
        executor,
        task("ends_badly", "kubernetes"),
        task("rejected", "kubernetes", executor_config={"pod_override": f"no pod but {TOKEN}"}),
        task("no_template", "kubernetes", executor_config={"pod_template_file": "/no/such/file"}),
        task(
            "refused",
            "kubernetes",
            executor_config={"KubernetesExecutor": {"volume_mounts": [{"name": "nowhere", "mountPath": "/x"}]}},
        ),
    )

    def all_over() -> bool:
        executor.heartbeat()
        return not day.store.attempts.live("celery") | day.store.attempts.live("kubernetes")

    wait_until(all_over, seconds=90, what="everything has ended")


def refuse_writes(day: Day, executor: Any, worker: Any) -> None:
    """Have Redis refuse writes while work is handed out, sent elsewhere, and given back by a worker that leaves."""
    from hybrid_executor.config import DictConfig
    from hybrid_executor.config.celery import read_celery_settings
    from hybrid_executor.pools.celery_sender import BrokerSender
    from hybrid_executor.pools.work import Work

    go_on = day.directory / "go-on"
    go_on.unlink()
    queue_all(executor, *(callback("default", until=str(go_on)) for _ in range(6)))
    wait_until(
        lambda: len(json.loads(next(iter(day.store.presence.members("worker"))).fields.get("held") or "[]")) >= 2,
        what="the worker holds messages",
    )
    settings = read_celery_settings(DictConfig({"celery": {"broker_url": day.redis_url}}))
    sender = BrokerSender(settings, instance="airflow")
    text = callback_json("22222222-2222-2222-2222-222222222222", {}).replace("a-token-that-nobody-may-see", TOKEN)
    work = Work(
        attempt=AttemptId("w1"), owner=OwnerId("1"), kind="callback", workload_id="k", queue="other", payload=text
    )
    with full(day):
        executor.queue_workload(callback("default"), session=None)
        executor.heartbeat()
        try:
            sender.send([work])
        except redis.RedisError as error:
            day.write("error of a refused push", repr(error))
        worker.signal(signal.SIGTERM)
        wait_until(lambda: "Warm shutdown" in worker.output, seconds=60, what="the worker leaves")
        go_on.touch()
        wait_until(lambda: refused(worker.output) >= 3, seconds=60, what="the worker is refused some more")
    sender.close()
    day.write("repr", [repr(work), repr(executor)])


def refused(output: str) -> int:
    """Return how often a worker has said that Redis refused something since it was told to leave."""
    return output.rpartition("Warm shutdown")[2].count("maxmemory")


def see(day: Day, capsys: pytest.CaptureFixture[str]) -> None:
    """Look with the commands, and at what stands in Redis."""
    from hybrid_executor.cli.status_command import status
    from hybrid_executor.cli.workers_command import workers

    capsys.readouterr()
    for as_json in (False, True):
        with suppress(SystemExit):
            status(Namespace(json=as_json, watch=0))
        workers(Namespace(json=as_json))
    day.write("commands", capsys.readouterr().out)
    with redis.Redis.from_url(day.redis_url, decode_responses=True) as client:
        for key, value in keys_that_people_see(client):
            day.write(f"key {key}", {key: value})


def queue_all(executor: Any, *workloads: Any) -> None:
    for workload in workloads:
        executor.queue_workload(workload, session=None)
    executor.heartbeat()


@pytest.fixture
def make_executor_of_the_day(day: Day) -> Iterator[Callable[..., Any]]:
    from hybrid_executor.executor import HybridExecutor

    started: list[Any] = []

    def make() -> Any:
        executor = HybridExecutor(parallelism=64)
        executor.job_id = 1
        executor.start()
        started.append(executor)
        return executor

    yield make
    for executor in started:
        executor.terminate()
