"""Two teams and an executor of all teams in one scheduler process, on one Redis, and who can reach what of whom."""

from __future__ import annotations

import argparse
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import redis

from hybrid_executor.cli.definition import get_hybrid_cli_commands
from hybrid_executor.config import airflow_config
from hybrid_executor.config.shape import read_configured_settings
from hybrid_executor.config.teams import VARIABLE
from hybrid_executor.errors import ConfigError
from hybrid_executor.events import AttemptId
from hybrid_executor.executor.logs import TeamLogs
from hybrid_executor.insight.overview import read_overview
from hybrid_executor.states import State
from hybrid_executor.store import Change, RedisSettings, Store, open_store
from tests.integration import rows
from tests.integration.cli.exit_codes import exit_code_of
from tests.integration.conftest import MovableClock, as_task_instance, make_task, queue, set_options
from tests.integration.redis_installed import Server
from tests.integration.workers.near_side import callback_json
from tests.integration.workers.real_worker import Daemon, make_home
from tests.redis_acl import PASSWORD, create_user, documented_rules
from tests.waiting import wait_until

pytestmark = pytest.mark.redis

OURS = "hybrid_executor.HybridExecutor"
INSTANCES = {"": "airflow", "red": "airflow-red", "blue": "airflow-blue"}
MakeAll = Callable[..., dict[str, Any]]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, airflow_db: None) -> Iterator[Callable[[], dict[str, Any]]]:
    """Return a function that builds the configured executors as Airflow's scheduler does, by team."""
    from airflow.executors import executor_loader

    known = {
        name: value for name, value in vars(executor_loader).items() if name.endswith(("per_team", "to_executors"))
    }

    def forget() -> None:
        executor_loader._executor_names.clear()
        for mapping in known.values():
            mapping.clear()

    session = rows.open_session()
    rows.clear_teams(session)
    rows.clear(session)
    rows.insert_teams(session, red="of_red", blue="of_blue")
    monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
    os.environ.pop("AIRFLOW__CELERY__BROKER_URL", None)
    built: list[Any] = []

    def build() -> dict[str, Any]:
        forget()
        built[:] = executor_loader.ExecutorLoader.init_executors()
        return {executor.team_name or "": executor for executor in built}

    yield build
    for executor in built:
        if hasattr(executor, "terminate"):
            executor.terminate()
    forget()
    rows.clear_teams(session)
    rows.clear(session)
    session.close()


@pytest.fixture
def make_all(redis_url: str, monkeypatch: pytest.MonkeyPatch, load: Callable[[], dict[str, Any]]) -> MakeAll:
    """Return a function that starts the executors of all teams, of red and of blue as one scheduler job."""

    def make(executor: str = f"{OURS};red={OURS};blue={OURS}", **options: str) -> dict[str, Any]:
        set_options(monkeypatch, core__executor=executor)
        for prefix in ("", "red___", "blue___"):
            set_options(monkeypatch, **{f"{prefix}hybrid_executor__redis_url": redis_url})
            set_options(monkeypatch, **{f"{prefix}hybrid_executor__agent": "external"})
        set_options(monkeypatch, **options)
        found = load()
        for one in found.values():
            one.job_id = 7
            if hasattr(one, "settings"):
                one.clock = MovableClock()
                one.start()
        return found

    return make


@pytest.fixture
def stores(redis_url: str) -> Iterator[Mapping[str, Store]]:
    """The store of each executor, as its workers see it."""
    opened = {team: open_store(RedisSettings(url=redis_url), instance=name) for team, name in INSTANCES.items()}
    yield opened
    for store in opened.values():
        store.close()


def states(executor: Any) -> dict[str, str]:
    executor.heartbeat()
    return {key.task_id: str(state.value) for key, (state, _) in executor.get_event_buffer().items()}


def test_three_executors_of_one_scheduler_share_no_key_name_or_message(
    make_all: MakeAll, stores: Mapping[str, Store], redis_url: str
) -> None:
    executors = make_all()
    attempts = {team: queue(executor, make_task(f"of-{team}"))[0] for team, executor in executors.items()}
    for executor in executors.values():
        executor.heartbeat()
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        keys = set(client.scan_iter())
        lists = {key: client.llen(key) for key in keys if key.endswith("default")}
    assert lists == {"default": 1, "airflow-red:default": 1, "airflow-blue:default": 1}
    assert {key.partition("}")[0] for key in keys - set(lists)} == {f"{{hybrid:{name}" for name in INSTANCES.values()}
    for team, store in stores.items():
        assert store.attempts.records(list(attempts.values())) == [
            store.attempts.records([attempt])[0] if own == team else None for own, attempt in attempts.items()
        ]
        [record] = store.attempts.records([attempts[team]])
        assert record is not None
        assert (record.owner, record.task_id) == ("7", f"of-{team}")
        assert [member.name for member in store.presence.members("scheduler")] == ["7"]


def test_events_end_only_the_attempts_of_their_team(make_all: MakeAll, stores: Mapping[str, Store]) -> None:
    executors = make_all()
    # All keys but the id of the attempt are equal, as for a Dag that was moved from one team to another.
    attempts = {team: queue(executor, make_task("t"))[0] for team, executor in executors.items()}
    for executor in executors.values():
        executor.heartbeat()
    stores["red"].attempts.claim(attempts["red"], worker="w")
    stores["red"].attempts.advance(Change(attempt=attempts["red"], to=State.SUCCEEDED))
    assert {team: states(executor) for team, executor in executors.items()} == {
        "": {},
        "red": {"t": "success"},
        "blue": {},
    }
    assert [len(executor.running) for executor in executors.values()] == [1, 0, 1]


def test_a_team_adopts_only_what_it_has_recorded(make_all: MakeAll) -> None:
    executors = make_all()
    task = make_task("t")
    with closing(rows.open_session()) as session:
        rows.insert_tasks(session, [task], version=rows.insert_dag(session))
    queue(executors["red"], task)
    executors["red"].heartbeat()
    ti = as_task_instance(task)
    for executor in executors.values():
        executor.running.clear()
    assert executors["blue"].try_adopt_task_instances([ti]) == [ti]
    assert executors[""].try_adopt_task_instances([ti]) == [ti]
    assert executors["red"].try_adopt_task_instances([ti]) == []


def test_callbacks_and_connection_tests_stay_in_their_team(make_all: MakeAll, stores: Mapping[str, Store]) -> None:
    from airflow.executors import workloads

    executors = make_all()
    executors["blue"].queue_workload(
        workloads.ExecuteCallback.model_validate_json(callback_json(str(uuid.uuid4()), {})), session=None
    )
    for executor in executors.values():
        executor.heartbeat()
    assert [len(store.attempts.live("celery")) for store in stores.values()] == [0, 0, 1]
    if not getattr(executors["red"], "supports_connection_test", False):
        return
    test = workloads.TestConnection(
        connection_test_id=uuid.uuid4(), connection_id="c", timeout=5, queue="default", token="t"
    )
    executors["red"].queue_workload(test, session=None)
    for executor in executors.values():
        executor.heartbeat()
        # Airflow tells every executor that a connection test has expired.
        executor.fail_connection_test(test.key)
    assert [len(store.attempts.live("celery")) for store in stores.values()] == [0, 1, 1]


def test_slots_of_one_team_do_not_count_for_another(make_all: MakeAll) -> None:
    executors = make_all(red___hybrid_executor__celery_parallelism="2", red___hybrid_executor__routes="*=celery")
    assert [executor.slots_occupied for executor in executors.values()] == [0, 0, 0]
    queue(executors["red"], make_task("a"), make_task("b"))
    executors["red"].heartbeat()
    assert executors["red"].slots_available == 0
    assert [executor.slots_occupied for executor in executors.values()] == [0, 2, 0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"red___hybrid_executor__redis_url": ""}, r"Set \[red=hybrid_executor\] redis_url .* for the team 'red'"),
        ({"red___hybrid_executor__routes": "x"}, r"Team 'red': .*\[red=hybrid_executor\] routes"),
        ({"red___hybrid_executor__instance": "airflow-blue"}, "team 'red' and the team 'blue' would share"),
        (
            {f"{team}___celery_broker_transport_options__global_keyprefix": "same" for team in ("red", "blue")},
            "have the same Celery broker",
        ),
    ],
)
def test_wrong_teams_are_refused_when_the_scheduler_starts(
    make_all: MakeAll, options: dict[str, str], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        make_all(**options)


def test_a_team_beside_another_default_executor_gets_a_new_attempt_for_each_queueing(
    make_all: MakeAll, stores: Mapping[str, Store]
) -> None:
    executor = make_all(f"LocalExecutor;red={OURS}")["red"]
    old = AttemptId(str(uuid.uuid4()))
    # Airflow leaves the id of the last queueing where the default executor of all teams asks for none.
    task = make_task("t", attempt=old)
    queue(executor, task)
    executor.heartbeat()
    [first] = stores["red"].attempts.live("celery")
    assert first != old
    told = {key.task_id: info for key, (_, info) in executor.get_event_buffer().items()}
    assert told == {"t": first}
    stores["red"].attempts.claim(first, worker="w")
    stores["red"].attempts.advance(Change(attempt=first, to=State.SUCCEEDED))
    assert states(executor) == {"t": "success"}
    queue(executor, make_task("t", attempt=first, id=task.ti.id))
    executor.heartbeat()
    [second] = stores["red"].attempts.live("celery")
    assert second != first


def test_a_frozen_redis_holds_up_the_loop_no_longer_for_three_executors_than_for_one(
    make_all: MakeAll, server: Server
) -> None:
    url = f"redis://127.0.0.1:{server.port}/0"
    executors = make_all(**{f"{prefix}hybrid_executor__redis_url": url for prefix in ("", "red___", "blue___")})
    for executor in executors.values():
        executor.heartbeat()
    pid = int(server.client.info("server")["process_id"])
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        for executor in executors.values():
            executor.clock.advance(60)
            executor.heartbeat()
        took = time.monotonic() - began
    finally:
        os.kill(pid, signal.SIGCONT)
    limits = [
        executor.context.store.client.connection_pool.connection_kwargs["socket_timeout"]
        for executor in executors.values()
    ]
    assert sum(limits) == pytest.approx(2.0)
    assert took < 15  # half of the time after which another scheduler takes over


# ---- Airflow's database ----


@pytest.fixture
def queued(load: Callable[[], dict[str, Any]]) -> Iterator[Any]:
    """A session with queued tasks: of a Dag of red, one that names an executor of all teams, and of no team's Dag."""
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import insert, select, update

    session = rows.open_session()
    version = rows.insert_dag(session)
    [run] = session.scalars(select(DagRun)).all()
    moment = {"run_after": run.run_after, "logical_date": run.logical_date, "run_type": "manual"}
    session.execute(insert(DagRun).values(id=2, dag_id="of_red", run_id="run", **moment))
    tasks = [
        make_task("plain", queue="one"),
        make_task("red", queue="two", dag_id="of_red"),
        make_task("named", queue="three", dag_id="of_red"),
    ]
    rows.insert_tasks(session, tasks, version=version)
    session.execute(update(TaskInstance).where(TaskInstance.task_id == "named").values(executor="all"))
    session.commit()
    yield session
    session.rollback()
    session.close()


def test_each_executor_counts_the_tasks_that_airflow_gives_to_it(
    queued: Any, monkeypatch: pytest.MonkeyPatch, redis_url: str, stores: Mapping[str, Store]
) -> None:
    from hybrid_executor import compat

    set_options(monkeypatch, core__executor=f"all:{OURS};red={OURS};blue={OURS}")
    found = {}
    for team in INSTANCES:
        settings = read_configured_settings(airflow_config(team))
        counted = {row.queue for row in compat.count_queued_tasks(queued, share=settings.share)}
        tasks = compat.read_unfinished_tasks(is_default_executor=True, share=settings.share)
        assert counted == {task.queue for task in tasks}
        found[team] = counted
        overview = read_overview(stores[team], settings)
        assert {view.name for view in overview.queues if view.queued} == counted
    assert found == {"": {"one", "three"}, "red": {"two"}, "blue": set()}


def test_no_token_is_made_for_a_task_of_another_team(
    queued: Any, monkeypatch: pytest.MonkeyPatch, make_all: MakeAll
) -> None:
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select

    from hybrid_executor import compat

    executors = make_all(f"all:{OURS};red={OURS};blue={OURS}")
    ids = {ti.task_id: str(ti.id) for ti in queued.scalars(select(TaskInstance))}
    # The ids of a team come from its Redis, where the team may write what it wants.
    made = {
        team: compat.make_workloads(ids.values(), executor, share=executor.settings.share)
        for team, executor in executors.items()
    }
    names = {team: {name for name, task_id in ids.items() if task_id in found} for team, found in made.items()}
    assert names == {"": {"plain", "named"}, "red": {"red"}, "blue": set()}


def test_the_log_of_a_teams_pod_is_found_by_the_executor_of_all_teams(
    queued: Any, make_all: MakeAll, stores: Mapping[str, Store]
) -> None:
    executors = make_all()
    task = make_task("red", queue="kubernetes", dag_id="of_red")
    queue(executors["red"], task)
    executors["red"].heartbeat()
    attempt = AttemptId(task.ti.external_executor_id)
    stores["red"].attempts.advance(
        Change(attempt=attempt, to=State.RUNNING, fields={"pod": "pod-of-red", "namespace": "reds"})
    )
    ti = as_task_instance(task)
    logs = executors[""]._pod_logs
    assert isinstance(logs, TeamLogs)
    # There is no cluster to ask; that the pod was found is what counts.
    [words], lines = logs.read(ti, 1)
    assert "could not be read" in words
    assert lines == []
    assert executors["blue"].get_task_log(ti, 1) == ([], [])


# ---- who can reach what ----


def rules_of_team(part: str, team: str) -> list[str]:
    """Return the documented rules for a team, made as docs/teams.md says."""
    own = f"{{hybrid:airflow-{team}}}:*"
    return [
        f"~{own}"
        if rule == "~{hybrid:airflow}:*"
        else f"{rule[0]}airflow-{team}:{rule[1:]}"
        if rule[0] in "~&"
        else rule
        for rule in documented_rules()[part][1]
    ]


def test_a_teams_worker_runs_under_an_acl_that_reaches_nothing_of_another_team(
    make_all: MakeAll, server: Server, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    from airflow.executors.workloads import ExecuteCallback

    server.client.flushall()
    for team in ("red", "blue"):
        create_user(server.client, team, rules_of_team("worker", team))
    whole = f"redis://127.0.0.1:{server.port}/0"
    of_red = f"redis://red:{PASSWORD}@127.0.0.1:{server.port}/0"
    executors = make_all(**{f"{prefix}hybrid_executor__redis_url": whole for prefix in ("", "red___", "blue___")})
    home = make_home(tmp_path / "home", "", log_port=0)
    begun = home.worker(
        *("--team", "red", "-D", "-s", "-H", "red@test", "-c", "1"),
        core__executor=f"LocalExecutor;red={OURS}",
        core__multi_team="True",
        red___hybrid_executor__redis_url=of_red,
    )
    assert begun.returncode == 0, begun.stderr
    pid_file = home.path / "airflow-worker.pid"
    wait_until(lambda: pid_file.exists() and pid_file.read_text().strip(), what="the worker has a pid")
    request.addfinalizer(Daemon(int(pid_file.read_text())).kill)
    server.client.execute_command("ACL", "LOG", "RESET")
    for executor in executors.values():
        text = callback_json(str(uuid.uuid4()), {}).replace("scripted.run", "builtins.print")
        executor.queue_workload(ExecuteCallback.model_validate_json(text), session=None)

    def is_done() -> bool:
        for executor in executors.values():
            executor.heartbeat()
        return "success" in [event[0] for event in executors["red"].event_buffer.values()]

    wait_until(is_done, seconds=60, what="the callback of red has run")
    for team in ("", "blue"):
        assert "success" not in [event[0] for event in executors[team].event_buffer.values()]
    log: Any = server.client.acl_log()
    assert [entry["object"] for entry in log if not str(entry["object"]).startswith("client")] == []
    [attempt] = {name.rpartition(":")[2] for name in server.client.scan_iter("{hybrid:airflow-blue}:payload:*")}
    with redis.Redis.from_url(of_red, decode_responses=True) as thief:
        for steal in (
            lambda: thief.get(f"{{hybrid:airflow-blue}}:payload:{attempt}"),
            lambda: thief.hgetall(f"{{hybrid:airflow-blue}}:attempt:{attempt}"),
            lambda: thief.brpop("airflow-blue:default", 1),
            lambda: thief.lpush("default", "x"),
            lambda: thief.hset("{hybrid:airflow-blue}:worker:red@test", "state", "running"),
            lambda: thief.publish("airflow-blue:/0.celery.pidbox", "x"),
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                steal()


@pytest.mark.parametrize("name", ["status", "why"])
def test_commands_on_the_machine_of_a_team_say_nothing_of_another_team(
    name: str,
    make_all: MakeAll,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.client.flushall()
    for team in ("red", "blue"):
        create_user(server.client, team, rules_of_team("worker", team))
    whole = f"redis://127.0.0.1:{server.port}/0"
    executors = make_all(**{f"{prefix}hybrid_executor__redis_url": whole for prefix in ("", "red___", "blue___")})
    [secret] = queue(executors["blue"], make_task("of-blue", dag_id="of_blue"))
    executors["blue"].heartbeat()
    of_red = f"redis://red:{PASSWORD}@127.0.0.1:{server.port}/0"
    for variable in [variable for variable in os.environ if "HYBRID_EXECUTOR__" in variable]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv(VARIABLE, "")
    set_options(monkeypatch, core__executor=f"LocalExecutor;red={OURS};blue={OURS}")
    set_options(monkeypatch, red___hybrid_executor__redis_url=of_red)

    def run(team: str) -> tuple[object, str, str]:
        words = ("of_blue",) if name == "why" else ()
        capsys.readouterr()
        code = run_command(name, "--team", team, *words)
        told = capsys.readouterr()
        return code, told.out, told.err

    code, out, err = run("blue")
    assert (code, out) == (2, "")
    [line] = err.splitlines()
    assert "Set [blue=hybrid_executor] redis_url" in line
    # With its own login in place of the other team's, red is refused by Redis.
    set_options(monkeypatch, blue___hybrid_executor__redis_url=of_red)
    code, out, err = run("blue")
    assert not {"of-blue", secret} & set((out + err).split())
    assert "permission" in out + err
    assert code != 0
    # So it is where red calls itself blue.
    set_options(monkeypatch, red___hybrid_executor__instance="airflow-blue")
    code, out, err = run("red")
    assert not {"of-blue", secret} & set((out + err).split())
    assert code != 0
    server.client.flushall()


def run_command(name: str, *words: str) -> object:
    """Run a command with the words of a command line; return its exit code."""
    [group] = get_hybrid_cli_commands()
    command: Any = next(one for one in group.subcommands if one.name == name)  # type: ignore[union-attr]
    parser = argparse.ArgumentParser()
    for argument in command.args:
        argument.add_to_parser(parser)
    body = getattr(import_module(f"hybrid_executor.cli.{name}_command"), name)
    return exit_code_of(body, parser.parse_args(words))


def test_a_team_cannot_tell_airflow_how_the_callback_of_another_team_has_ended(
    make_all: MakeAll, stores: Mapping[str, Store], session: Any
) -> None:
    """Whoever has the Redis login of red may write there a record with the id of a callback of blue."""
    from airflow.executors.workloads.callback import CallbackFetchMethod
    from airflow.models.callback import ExecutorCallback
    from airflow.sdk import SyncCallback

    row = ExecutorCallback(SyncCallback("os.getcwd"), fetch_method=CallbackFetchMethod.IMPORT_PATH)
    row.data = {**row.data, "dag_id": "of_blue"}
    row.state = "running"
    session.add(row)
    session.commit()
    try:
        for store in (stores["red"], stores[""], stores["blue"]):
            fields = {"id": str(row.id), "kind": "callback", "state": "succeeded", "generation": 9, "owner": "1"}
            store.client.hset(store.keys.attempt(AttemptId(str(row.id))), mapping={**fields, "ended_at": 1})
            store.client.expire(store.keys.attempt(AttemptId(str(row.id))), 60)
        executors = make_all()
        for executor in executors.values():
            for _ in range(4):
                executor.clock.advance(10)
                executor.heartbeat()
        told = {team: [str(key) for key in executor.get_event_buffer()] for team, executor in executors.items()}
        assert {team: len(keys) for team, keys in told.items()} == {"": 0, "red": 0, "blue": 1}
    finally:
        session.delete(row)
        session.commit()
