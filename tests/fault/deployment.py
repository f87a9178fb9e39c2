"""A whole deployment on this machine, of which each part can be killed, paused, cut off and started again.

PostgreSQL, Valkey, the sandbox, Airflow's API server, Dag processor and triggerer, and any number of schedulers, agents
and workers. All of them reach Redis through links of their own.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from sqlalchemy import Engine, create_engine, text

from hybrid_executor.config.profiles import read_profiles
from hybrid_executor.demo.runs import wait_for_dags
from hybrid_executor.routing import parse_routes
from hybrid_executor.sandbox.node import NodeSettings
from hybrid_executor.standalone.api import AirflowApi
from hybrid_executor.standalone.components import airflow_command
from hybrid_executor.standalone.environment import Addresses, component_environment, pod_environment
from hybrid_executor.standalone.ports import choose_port, is_listening
from hybrid_executor.standalone.private import plan_private
from hybrid_executor.standalone.signals import StopWish
from hybrid_executor.store import Member, RedisSettings, Store, open_store
from hybrid_executor.store.presence import Role
from tests.e2e.postgres import PostgresServer
from tests.fault.links import Network
from tests.fault.parts import Part
from tests.fault.redis_pair import RedisPair
from tests.faulty_sandbox import FaultySandbox
from tests.leaks import shared
from tests.statsd_listener import Sample, StatsdListener
from tests.waiting import PATIENCE_SECONDS, wait_until

DAGS = Path(__file__).parent / "dags"
NAMESPACES = ("default", "team-a", "team-b")
ROUTES = "kubernetes=kubernetes, pods-a=kubernetes:a, pods-b=kubernetes:b, *=celery"
HEALTH_SECONDS = 20
ADOPTION_SECONDS = 10
_PROFILES = "a:\n  namespace: team-a\nb:\n  namespace: team-b\n"
_PASSWORD = "of-the-admin"


class Deployment:
    """The running whole. A context manager: leaving it ends everything.

    The first scheduler starts an agent of its own; the others use agents that run by themselves.

    :param trees: another source tree for some parts, by their names.
    :ivar parts: all processes but the servers, by name.
    :ivar heartbeats: hears how long each ``heartbeat()`` of each scheduler takes.
    :ivar ended: the parts that had ended by themselves until now.
    """

    expected_dags = 4

    def __init__(
        self,
        home: Path,
        *,
        schedulers: int = 2,
        agents: int = 1,
        workers: int = 2,
        trees: Mapping[str, Path] | None = None,
    ) -> None:
        self.home = home
        self.marks = home / "marks"
        self.parts: dict[str, Part] = {}
        self.schedulers = [f"scheduler-{number}" for number in range(1, schedulers + 1)]
        self.agents = [f"agent-{number}" for number in range(1, agents + 1)]
        self.workers = [f"worker-{number}" for number in range(1, workers + 1)]
        self._trees = dict(trees or {})
        self.ended: set[str] = set()
        self._stack = ExitStack()

    def __enter__(self) -> Deployment:
        with shared():
            try:
                self._begin()
            except BaseException:
                self.__exit__()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        for part in self.parts.values():
            with suppress(ProcessLookupError):
                part.kill()
        for pid in processes_of(self.home):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._stack.close()

    # ---- what tests look at ----

    def job_of(self, scheduler: str) -> str:
        """Return the job id of a running scheduler, by which it owns attempts."""
        return wait_until(lambda: self._find_job(scheduler), what=f"{scheduler} has announced itself")

    def _find_job(self, scheduler: str) -> str:
        pid = str(self.parts[scheduler].pid)
        members = self.store.presence.members("scheduler")
        return next((m.name for m in members if m.fields.get("pid") == pid), "")

    def job_state(self, job: str) -> str:
        """Return what Airflow has as the state of a scheduler."""
        with self.database.connect() as connection:
            return str(connection.execute(text("SELECT state FROM job WHERE id = :id"), {"id": int(job)}).scalar_one())

    def part(self, name: str) -> Part:
        """Return a part by its name."""
        return self.parts[name]

    def heal(self) -> None:
        """Undo all faults and start what was killed or has ended; return when the whole works again."""
        self.ended.update(self.died())
        for link in self.redis.links:
            link.mend()
        self.api_link.mend()
        self.sandbox.faults.clear()
        self.sandbox.faults.resume_watches()
        for part in self.parts.values():
            if part.is_running:
                part.resume()
            else:
                part.start()
        self.wait_ready()

    def replace(self, name: str, tree: Path) -> None:
        """Stop a part in good order, and start it from another source tree."""
        part = self.parts[name]
        part.stop(PATIENCE_SECONDS)
        part.environment |= _of_tree(tree)
        part.start()

    def wait_ready(self) -> None:
        """Wait until each part has said that it is there. One that was about to end by itself is started again."""

        def are_there() -> bool:
            self.revive()
            return is_listening(self._api_port) and all(map(self._find_job, self.schedulers))

        wait_until(are_there, what=lambda: f"all are there: {self.died()} {self.parts['api-server'].output[-2000:]}")
        others = {"scheduler", "triggerer", "dag_processor"}
        wait_until(lambda: others <= set(self.api.beats()), what=lambda: f"all are there: {self.api.beats()}")
        self._wait_alive("worker", self.workers)
        self._wait_alive("agent", self.agents)

    def _wait_alive(self, role: Role, names: list[str]) -> None:
        wait_until(lambda: set(names) <= self._alive(role), what=lambda: f"{names} are there: {self._alive(role)}")

    def died(self) -> list[str]:
        """Return the parts that have ended by themselves."""
        return [part.name for part in self.parts.values() if part.wanted and not part.is_running]

    def revive(self) -> None:
        """Start what has ended by itself, as a service manager does."""
        self.ended.update(self.died())
        for name in self.died():
            self.parts[name].start()

    def slowest_heartbeat(self, *, since: int = 0) -> float:
        """Return the longest ``heartbeat()`` of all schedulers in seconds; not those in which one was paused.

        :param since: how many samples to leave out, as :meth:`count_heartbeats` returned it.
        """
        measured = sorted(sample.value / 1000 for sample in self._beats()[since:])
        for pause in (pause for name in self.schedulers for pause in self.parts[name].pauses):
            if (within := next((index for index, value in enumerate(measured) if value >= pause), None)) is not None:
                del measured[within]
        return measured[-1] if measured else 0.0

    def count_heartbeats(self) -> int:
        """Return how many heartbeats have been measured."""
        return len(self._beats())

    def count_failed_by_api_server(self, *, since: int = 0) -> int:
        """Return how many tasks Airflow's API server has failed although they reported another end.

        It does so, and lets no retry follow, where its session of the database ends just when it saves that end.

        :param since: after how many characters of its output.
        """
        return self.parts["api-server"].output.count("Error updating Task Instance state. Setting", since)

    def occupied(self) -> list[float]:
        """Return how many tasks executors have told last to be running, each scheduler several times."""
        return self.statsd.of_airflow("executor.running_tasks", lines=2_000)[-10 * len(self.schedulers) :]

    def _beats(self) -> list[Sample]:
        return self.statsd.of("heartbeat.time")

    def _members(self, role: Role) -> list[Member]:
        return self.store.presence.members(role)

    def _alive(self, role: Role) -> set[str]:
        """Return who has announced itself since it was started last."""
        alive = {m.name.partition("@")[0]: m for m in self._members(role) if m.is_alive}
        return {n for n, m in alive.items() if n in self.parts and m.fields.get("pid") == str(self.parts[n].pid)}

    # ---- start ----

    def _begin(self) -> None:
        enter = self._stack.enter_context
        logs = self.home / "logs"
        logs.mkdir(parents=True)
        self.network = enter(Network())
        self.statsd = enter(StatsdListener())
        self.postgres = enter(PostgresServer())
        self.redis = RedisPair(self.home, self.network, logs)
        self._stack.callback(self.redis.stop)
        environment = self._environment()
        self.sandbox = FaultySandbox(
            namespaces=NAMESPACES,
            node=NodeSettings(image_environment=pod_environment(environment)),
        )
        self.sandbox.start()
        self._stack.callback(self.sandbox.stop, grace_seconds=0.5)
        self.sandbox.write_kubeconfig(self.home / "kubeconfig")
        self.database: Engine = create_engine(self.postgres.airflow_url, pool_pre_ping=True)
        self._stack.callback(self.database.dispose)
        self.store: Store = open_store(RedisSettings(url=self.redis.url_of("test")), instance="airflow")
        self._stack.callback(self.store.close)
        self.api = AirflowApi(f"http://127.0.0.1:{self._api_port}", username="admin", password=_PASSWORD)
        self._stack.callback(self.api.close)
        migrate = Part("migrate", airflow_command("db", "migrate"), environment, logs)
        migrate.start()
        wait_until(lambda: not migrate.is_running, what="the database is migrated")
        self._prepare(environment, logs)
        for name, command in self._commands().items():
            self.parts[name] = Part(name, command, environment | self._own_environment(name), logs)
            self.parts[name].start()
        self.wait_ready()
        wait_for_dags(self.api, expected=self.expected_dags, timeout_seconds=120, stop=StopWish().stop)

    def _prepare(self, environment: dict[str, str], logs: Path) -> None:
        """Do what is to be done between the migration of the database and the start of the parts."""

    def _commands(self) -> dict[str, tuple[str, ...]]:
        """Return the command of each part."""
        commands = {name: airflow_command(name) for name in ("api-server", "dag-processor", "triggerer")}
        commands |= {name: airflow_command("scheduler") for name in self.schedulers}
        commands |= {name: self._agent(name) for name in self.agents}
        return commands | {name: self._worker(name) for name in self.workers}

    def _agent(self, name: str, *words: str) -> tuple[str, ...]:
        return airflow_command("hybrid", "agent", "--name", name, *words)

    def _worker(self, name: str, *words: str) -> tuple[str, ...]:
        usual = ("--concurrency", "4", "--celery-hostname", f"{name}@faults", "--skip-serve-logs")
        return airflow_command("hybrid", "worker", *usual, *words)

    def _own_environment(self, name: str) -> dict[str, str]:
        url = self.redis.url_of(name)
        own = {"AIRFLOW__HYBRID_EXECUTOR__REDIS_URL": url, "AIRFLOW__CELERY__BROKER_URL": url}
        if name == self.schedulers[0]:
            own["AIRFLOW__HYBRID_EXECUTOR__AGENT"] = "child"
        return own | (_of_tree(tree) if (tree := self._trees.get(name)) else {})

    def _options(self) -> dict[str, str]:
        """Return more variables of all parts, which win over all others."""
        return {}

    def _environment(self) -> dict[str, str]:
        self._api_port = choose_port()
        self.api_link = self.network.link(self._api_port)
        passwords = self.home / "passwords.json"
        passwords.write_text(f'{{"admin": "{_PASSWORD}"}}')
        profiles = self.home / "profiles.yaml"
        profiles.write_text(_PROFILES)
        url = self.redis.url_of("others")
        addresses = Addresses(
            api_port=self._api_port,
            worker_log_port=choose_port(),
            trigger_log_port=choose_port(),
            redis_url=url,
            broker_url=url,
            kubeconfig=self.home / "kubeconfig",
        )
        plan = plan_private(
            self.home,
            dags=DAGS,
            environment=os.environ,
            routes=parse_routes(ROUTES, profiles=read_profiles(str(profiles))),
            profiles_file=profiles,
            options={
                **self.statsd.environment(),
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.postgres.airflow_url,
                "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{self.api_link.port}/execution/",
                "AIRFLOW__HYBRID_EXECUTOR__AGENT": "external",
                "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": str(ADOPTION_SECONDS),
                "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": str(HEALTH_SECONDS),
                "AIRFLOW__KUBERNETES_EXECUTOR__DELETE_WORKER_PODS_ON_FAILURE": "True",
                "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.home / "task-logs"),
                "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
                "FAULT_MARKS": str(self.marks),
                **self._options(),
            },
        )
        return component_environment(
            plan.environment, addresses, executor=plan.executor, passwords_file=passwords, options=plan.options
        )


def _of_tree(tree: Path) -> dict[str, str]:
    """Return the variables that make a process use the packages of a source tree, before those that are installed."""
    return {"PYTHONPATH": os.pathsep.join((str(tree), str(tree / "workers")))}


def processes_of(home: Path) -> list[int]:
    """Return every process that belongs to the Airflow in ``home``, whoever its parent is now."""
    mark = f"AIRFLOW_HOME={home}\0".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in path.read_bytes():
                found.append(int(path.parent.name))
    return found
