"""The processes of a standalone Airflow, what each waits for, and the order in which they stop."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from hybrid_executor.standalone.environment import pod_environment
from hybrid_executor.standalone.stack import Component

# Schedulers stop first, so that no new task starts. Then worker and sandbox, whose tasks report to the API server. Then
# the servers.
_RANKS = {"scheduler": 0, "dag-processor": 0, "triggerer": 0, "worker": 1, "sandbox": 2, "api-server": 3, "valkey": 4}
# A triggerer needs 10 s to end the process of its triggers. It is killed earlier, since a later one can continue them.
_GRACE_SECONDS = {"scheduler": 15.0, "triggerer": 2.0}
# The API server needs the database only at its first request, so it can start while the tables are created.
_API_SERVER_OPTIONS = {"AIRFLOW__DATABASE__CHECK_MIGRATIONS": "False"}


@dataclass(frozen=True, kw_only=True)
class Probes:
    """Functions that return whether a component is ready, within a second."""

    valkey: Callable[[], bool]
    sandbox: Callable[[], bool]
    worker: Callable[[], bool]
    team_worker: Callable[[str], bool]
    api_server: Callable[[], bool]
    scheduler: Callable[[], bool]
    triggerer: Callable[[], bool]
    dag_processor: Callable[[], bool]


@dataclass(frozen=True, kw_only=True)
class Choices:
    """The processes besides Airflow.

    :ivar valkey: command of the embedded server; empty if another Redis is configured.
    :ivar sandbox: command of the small Kubernetes API; empty if a cluster is configured or none is needed.
    :ivar worker: arguments of the Celery worker; ``None`` if no queue goes to Celery.
    :ivar teams: teams to create in Airflow's database. :ivar team_workers: arguments of their workers.
    """

    valkey: tuple[str, ...] = ()
    sandbox: tuple[str, ...] = ()
    worker: tuple[str, ...] | None = None
    teams: tuple[str, ...] = ()
    team_workers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def airflow_command(*arguments: str) -> tuple[str, ...]:
    """Return the command for ``airflow ...`` in this interpreter; the search path is not used."""
    # As for the installed script, modules and plugins of the current directory do not count. In a checkout, our own
    # plugin would be there a second time, and the UI would show an import error.
    alone = ("-P",) if sys.version_info >= (3, 11) else ()
    return (sys.executable, *alone, "-m", "airflow", *arguments)


def build_components(choices: Choices, probes: Probes, environment: Mapping[str, str]) -> list[Component]:
    """Return the components; each starts as early as possible."""
    servers = [name for name, command in (("valkey", choices.valkey), ("sandbox", choices.sandbox)) if command]

    def make(
        name: str,
        command: tuple[str, ...],
        *,
        after: tuple[str, ...] = (),
        is_ready: Callable[[], bool] = lambda: True,
        runs_once: bool = False,
        told: Mapping[str, str] = environment,
        rank: str = "",
    ) -> Component:
        return Component(
            name=name,
            command=command,
            environment=told,
            after=after,
            is_ready=is_ready,
            runs_once=runs_once,
            stop_rank=_RANKS.get(rank or name, 0),
            grace_seconds=_GRACE_SECONDS.get(name, 8.0),
        )

    components = [make("migrate", airflow_command("db", "migrate"), runs_once=True)]
    database: tuple[str, ...] = ("migrate",)
    if choices.teams:
        command = (sys.executable, "-m", "hybrid_executor.standalone.create_teams", *choices.teams)
        components.append(make("teams", command, after=database, runs_once=True))
        database = ("teams",)
    if choices.valkey:
        components.append(make("valkey", choices.valkey, is_ready=probes.valkey))
    if choices.sandbox:
        told = pod_environment(environment)
        components.append(make("sandbox", choices.sandbox, is_ready=probes.sandbox, told=told))
    told = {**environment, **_API_SERVER_OPTIONS}
    components.append(
        make(
            "api-server",
            airflow_command("api-server"),
            # It does not start if one of its users belongs to a team that does not exist.
            after=database if choices.teams else (),
            is_ready=probes.api_server,
            told=told,
        )
    )
    components.append(
        make("scheduler", airflow_command("scheduler"), after=(*database, *servers), is_ready=probes.scheduler)
    )
    components.append(
        make("dag-processor", airflow_command("dag-processor"), after=database, is_ready=probes.dag_processor)
    )
    components.append(make("triggerer", airflow_command("triggerer"), after=database, is_ready=probes.triggerer))
    after = ("valkey",) if choices.valkey else ()
    if choices.worker is not None:
        command = airflow_command("hybrid", "worker", *choices.worker)
        components.append(make("worker", command, after=after, is_ready=probes.worker))
    for team, arguments in choices.team_workers.items():
        command = airflow_command("hybrid", "worker", "--team", team, *arguments)
        is_ready = partial(probes.team_worker, team)
        components.append(make(f"worker-{team}", command, after=after, is_ready=is_ready, rank="worker"))
    return components
