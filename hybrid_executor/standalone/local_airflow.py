"""A whole Airflow on this machine, made from a plan. ``standalone``, the demo and end-to-end tests use it."""

from __future__ import annotations

import json
import os
import secrets
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.sandbox.valkey import valkey_command
from hybrid_executor.standalone.api import AirflowApi
from hybrid_executor.standalone.components import Choices, Probes, build_components
from hybrid_executor.standalone.environment import Addresses, component_environment
from hybrid_executor.standalone.ports import choose_port, is_listening
from hybrid_executor.standalone.stack import Printer, Stack
from hybrid_executor.standalone.teams import TeamPlan
from hybrid_executor.store import RedisSettings, Store, open_store

_USERNAME = "admin"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to run on this machine.

    :ivar state_dir: folder for Valkey's data, the kubeconfig and the password; it is kept between runs.
    :ivar environment: the components' environment is made from it.
    :ivar options: variables that win over all others.
    :ivar redis: the Redis to use; ``None`` starts the embedded one.
    :ivar uses_our_broker: the same Redis is the Celery broker.
    :ivar runs_sandbox: start the small Kubernetes API, and let the executor use it.
    :ivar worker_queues: queues of the Celery worker; ``None`` for no worker, "" for its default.
    :ivar teams: the teams with an executor of this project.
    :ivar missing_images: patterns of images that the sandbox's registries do not have.
    :ivar failing_images: patterns of images whose registry fails each time.
    :ivar port: the wanted port of the UI; another one is used if it is in use.
    :ivar path: the path of the UI and the REST API, such as "/airflow"; "" for none.
    :ivar has_own_login: create a user ``admin``; otherwise the auth manager is not changed.
    """

    state_dir: Path
    environment: Mapping[str, str]
    executor: str = "hybrid_executor.HybridExecutor"
    options: Mapping[str, str] = field(default_factory=dict)
    instance: str = "airflow"
    redis: RedisSettings | None = None
    uses_our_broker: bool = True
    runs_sandbox: bool = True
    worker_queues: str | None = ""
    teams: tuple[TeamPlan, ...] = ()
    worker_concurrency: int = 4
    missing_images: tuple[str, ...] = ()
    failing_images: tuple[str, ...] = ()
    port: int | None = None
    path: str = ""
    has_own_login: bool = True


class LocalAirflow:
    """The running Airflow. A context manager: leaving it stops everything.

    :param print_line: called with every output line of a component.
    :raises ConfigError: a needed package is not installed.
    """

    def __init__(self, plan: Plan, *, print_line: Printer) -> None:
        plan.state_dir.mkdir(parents=True, exist_ok=True)
        # Valkey's data holds tokens, and its files are readable by others.
        plan.state_dir.chmod(0o700)
        self.plan = plan
        self._started_at = time.monotonic()
        self._begun = datetime.now(timezone.utc).isoformat()
        self._beats: tuple[float, dict[str, str]] = (0.0, {})
        self._redis_port = 0 if plan.redis else choose_port()
        self._sandbox_port = choose_port()
        redis, valkey = self._choose_redis()
        self.addresses = self._choose_addresses(redis)
        self.environment = component_environment(
            plan.environment,
            self.addresses,
            executor=plan.executor,
            passwords_file=self._passwords_file if plan.has_own_login else None,
            options=plan.options,
            teams=plan.teams,
        )
        self.password = self._prepare_login() if plan.has_own_login else ""
        self.api = AirflowApi(self.addresses.base_url, username=_USERNAME, password=self.password)
        self.store: Store = open_store(redis, instance=plan.instance)
        self.team_stores: dict[str, Store] = {
            team.name: open_store(team.redis or redis, instance=team.instance) for team in plan.teams
        }
        choices = Choices(
            valkey=valkey,
            sandbox=self._sandbox_command(),
            worker=self._worker_arguments(),
            teams=tuple(team.name for team in plan.teams),
            team_workers=self._team_worker_arguments(),
        )
        self.stack = Stack(build_components(choices, self._probes(), self.environment), print_line=print_line)

    @property
    def username(self) -> str:
        """The name of the user with all rights, if the plan has its own login."""
        return _USERNAME

    @property
    def login(self) -> str:
        """Address and login, as text."""
        if not self.plan.has_own_login:
            return self.addresses.base_url
        return f"{self.addresses.base_url}  (user {_USERNAME}, password {self.password})"

    def __enter__(self) -> LocalAirflow:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self, *, hurry: threading.Event | None = None) -> None:
        """Stop everything; nothing runs afterwards."""
        self.api.close()
        for store in (self.store, *self.team_stores.values()):
            store.close()
        self.stack.stop(hurry=hurry)

    @property
    def kubeconfig(self) -> Path:
        """The sandbox's kubeconfig."""
        return self.plan.state_dir / "kubeconfig"

    @property
    def _passwords_file(self) -> Path:
        return self.plan.state_dir / "passwords.json"

    def _choose_redis(self) -> tuple[RedisSettings, tuple[str, ...]]:
        if self.plan.redis:
            return self.plan.redis, ()
        password = secrets.token_urlsafe(16)
        command = valkey_command(data_dir=self.plan.state_dir / "valkey", port=self._redis_port, password=password)
        return RedisSettings(url=f"redis://:{password}@127.0.0.1:{self._redis_port}/0"), command

    def _choose_addresses(self, redis: RedisSettings) -> Addresses:
        is_embedded = self.plan.redis is None
        return Addresses(
            api_port=choose_port(self.plan.port),
            worker_log_port=choose_port(),
            trigger_log_port=choose_port(),
            redis_url=redis.url if is_embedded else "",
            broker_url=redis.url if is_embedded and self.plan.uses_our_broker else "",
            kubeconfig=self.kubeconfig if self.plan.runs_sandbox else None,
            path=self.plan.path,
        )

    def _prepare_login(self) -> str:
        try:
            passwords = json.loads(self._passwords_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            passwords = {}
        password = str(passwords.setdefault(_USERNAME, secrets.token_urlsafe(9)))
        descriptor = os.open(self._passwords_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(passwords, file)
        return password

    def _sandbox_command(self) -> tuple[str, ...]:
        if not self.plan.runs_sandbox:
            return ()
        self.kubeconfig.unlink(missing_ok=True)
        arguments = ["--port", str(self._sandbox_port), "--kubeconfig", str(self.kubeconfig)]
        arguments += [f"--missing-image={pattern}" for pattern in self.plan.missing_images]
        arguments += [f"--failing-image={pattern}" for pattern in self.plan.failing_images]
        return (sys.executable, "-m", "hybrid_executor.sandbox", *arguments)

    def _worker_arguments(self) -> tuple[str, ...] | None:
        if self.plan.worker_queues is None:
            return None
        queues = ("--queues", self.plan.worker_queues) if self.plan.worker_queues else ()
        return (*queues, "--concurrency", str(self.plan.worker_concurrency))

    def _team_worker_arguments(self) -> dict[str, tuple[str, ...]]:
        """Return the arguments of each team's worker. One worker on this machine serves the logs of all."""
        found: dict[str, tuple[str, ...]] = {}
        serves_logs = self.plan.worker_queues is None
        for team in self.plan.teams:
            if team.worker_queues is not None:
                queues = ("--queues", team.worker_queues) if team.worker_queues else ()
                logs = () if serves_logs else ("--skip-serve-logs",)
                number = ("--concurrency", str(self.plan.worker_concurrency))
                found[team.name] = (*queues, *number, "--celery-hostname", f"{team.name}@%h", *logs)
                serves_logs = False
        return found

    def _probes(self) -> Probes:
        return Probes(
            valkey=self._redis_answers,
            team_worker=lambda team: self._worker_is_there(self.team_stores[team]),
            sandbox=lambda: self.kubeconfig.exists() and is_listening(self._sandbox_port),
            worker=lambda: self._worker_is_there(self.store),
            api_server=lambda: "api_server" in self._recent_beats(),
            scheduler=lambda: self._has_begun("scheduler"),
            triggerer=lambda: self._has_begun("triggerer"),
            dag_processor=lambda: self._has_begun("dag_processor"),
        )

    def _redis_answers(self) -> bool:
        if not is_listening(self._redis_port):
            return False
        try:
            self.store.ping()
        except StoreUnavailable:
            return False
        return True

    def _worker_is_there(self, store: Store) -> bool:
        age_seconds = time.monotonic() - self._started_at
        try:
            workers = store.presence.members("worker")
        except StoreUnavailable:
            return False
        return any(worker.is_alive and worker.silent_seconds < age_seconds for worker in workers)

    def _has_begun(self, component: str) -> bool:
        """Return whether the component's last heartbeat is from this run and not from an earlier one."""
        return self._recent_beats().get(component, "") > self._begun

    def _recent_beats(self) -> dict[str, str]:
        asked_at, beats = self._beats
        if time.monotonic() - asked_at > 0.5:
            beats = self.api.beats()
            self._beats = (time.monotonic(), beats)
        return beats
