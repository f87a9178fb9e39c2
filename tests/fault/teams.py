"""A whole deployment of two teams and an executor of all teams, under several schedulers."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from hybrid_executor.config import DictConfig
from hybrid_executor.standalone.configured import sandbox_image
from hybrid_executor.standalone.teams import variable_of
from hybrid_executor.store import Member, RedisSettings, Store, open_store
from hybrid_executor.store.presence import Role
from tests.fault.deployment import Deployment
from tests.fault.parts import Part
from tests.waiting import wait_until

TEAMS = ("red", "blue")
BUNDLES = {"": "shared", "red": "red", "blue": "blue"}
"""The bundle of each team, "" for all teams."""
INSTANCES = {"": "airflow", "red": "airflow-red", "blue": "airflow-blue"}
QUEUES = {"": "default", "red": "airflow-red:default", "blue": "airflow-blue:default"}
"""The Redis list of each team's default queue. Team blue has no worker: all its work goes to pods."""
_OURS = "hybrid_executor.HybridExecutor"
_DAGS = Path(__file__).parent / "dags_of_teams"


class TeamDeployment(Deployment):
    """The running whole.

    :ivar stores: what each team has in Redis, "" for the executor of all teams.
    """

    expected_dags = 6

    def __init__(self, home: Path, *, schedulers: int = 2) -> None:
        super().__init__(home, schedulers=schedulers)
        self.agents = [f"agent-{bundle}" for bundle in BUNDLES.values()]
        self.workers = ["worker-shared", "worker-red"]
        self.stores: dict[str, Store] = {}

    def _prepare(self, environment: dict[str, str], logs: Path) -> None:
        command = (sys.executable, "-m", "hybrid_executor.standalone.create_teams", *TEAMS)
        create = Part("teams", command, environment, logs)
        create.start()
        wait_until(lambda: not create.is_running, what="the teams are created")
        for team, bundle in BUNDLES.items():
            shutil.copytree(_DAGS, self.home / "bundles" / bundle)
            self.stores[team] = open_store(RedisSettings(url=self.redis.url_of("test")), instance=INSTANCES[team])
            self._stack.callback(self.stores[team].close)

    def _commands(self) -> dict[str, tuple[str, ...]]:
        commands = super()._commands()
        for team in TEAMS:
            commands[f"agent-{team}"] = self._agent(f"agent-{team}", "--team", team)
        return commands | {"worker-red": self._worker("worker-red", "--team", "red")}

    def _members(self, role: Role) -> list[Member]:
        return [member for store in self.stores.values() for member in store.presence.members(role)]

    def _own_environment(self, name: str) -> dict[str, str]:
        own = super()._own_environment(name) | {"AIRFLOW__HYBRID_EXECUTOR__AGENT": "external"}
        for team in TEAMS:
            own[variable_of(team, "AIRFLOW__HYBRID_EXECUTOR__REDIS_URL")] = self.redis.url_of(name)
        return own

    def _options(self) -> dict[str, str]:
        local = "airflow.dag_processing.bundles.local.LocalDagBundle"
        bundles = [
            {"name": bundle, "classpath": local, "kwargs": {"path": str(self.home / "bundles" / bundle)}}
            | ({"team_name": team} if team else {})
            for team, bundle in BUNDLES.items()
        ]
        options = {
            "AIRFLOW__CORE__MULTI_TEAM": "True",
            "AIRFLOW__CORE__EXECUTOR": ";".join([_OURS, *(f"{team}={_OURS}" for team in TEAMS)]),
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__CORE__PARALLELISM": "96",
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
            "AIRFLOW__HYBRID_EXECUTOR__ROUTES": "kubernetes=kubernetes, *=celery",
        }
        kubernetes = {
            "AIRFLOW__KUBERNETES_EXECUTOR__IN_CLUSTER": "False",
            "AIRFLOW__KUBERNETES_EXECUTOR__CONFIG_FILE": str(self.home / "kubeconfig"),
            "AIRFLOW__KUBERNETES_EXECUTOR__DELETE_WORKER_PODS_ON_FAILURE": "True",
            **sandbox_image(DictConfig()),
        }
        for team in TEAMS:
            routes = "*=kubernetes" if team == "blue" else "kubernetes=kubernetes, *=celery"
            of_team = kubernetes | {
                "AIRFLOW__HYBRID_EXECUTOR__AGENT": "external",
                "AIRFLOW__HYBRID_EXECUTOR__ROUTES": routes,
                "AIRFLOW__HYBRID_EXECUTOR__REDIS_URL": self.redis.url_of("others"),
            }
            options |= {variable_of(team, name): value for name, value in of_team.items()}
        return options
