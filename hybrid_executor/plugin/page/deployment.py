"""The settings and the Redis of this deployment and of its teams, as the API server is configured."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from hybrid_executor import compat
from hybrid_executor.config import airflow_config
from hybrid_executor.config.settings import Settings
from hybrid_executor.config.shape import read_configured_settings
from hybrid_executor.config.teams import our_teams
from hybrid_executor.store import Store, open_configured_store

_CONNECT_SECONDS = 1.0
_ANSWER_SECONDS = 3.0

Place = tuple[Settings, Store]
"""Where the attempts of one executor are."""


class Deployment:
    """Reads the configuration when it is first needed; a wrong one is read again each time, until it is right."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opened: dict[str, Place] = {}

    def teams(self) -> list[str]:
        """Return the teams with an executor of this project; "" stands for an executor of all teams."""
        return our_teams(airflow_config()) or [""]

    def open(self, team: str = "") -> Place:
        """Return settings and store of a team. The store's connections are shared by all threads.

        :raises ConfigError: the configuration is wrong.
        """
        with self._lock:
            if team not in self._opened:
                settings = read_configured_settings(airflow_config(team))
                store = open_configured_store(
                    settings, connect_seconds=_CONNECT_SECONDS, answer_seconds=_ANSWER_SECONDS, retries=0
                )
                self._opened[team] = settings, store
            return self._opened[team]

    def open_for(self, dag_id: str) -> Sequence[Place]:
        """Return where the attempts of a Dag may be: those of its team first, then those of the executor of all teams.

        Asks Airflow's database if there are teams.

        :raises ConfigError: the configuration is wrong.
        """
        teams = self.teams()
        of_dag = compat.team_of_dag(dag_id) if any(teams) else ""
        return [self.open(team) for team in dict.fromkeys((of_dag, "")) if team in teams]

    def close(self) -> None:
        """Close all connections. The next question opens new ones."""
        with self._lock:
            for _, store in self._opened.values():
                store.close()
            self._opened.clear()
