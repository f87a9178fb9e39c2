"""What a standalone runs for each team, and how the variables of a team are written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hybrid_executor.config.teams import OWN_SECTIONS
from hybrid_executor.store import RedisSettings

_OF_TEAM = re.compile(rf"AIRFLOW__.+?___({'|'.join(name.upper() for name in (*OWN_SECTIONS, 'core', 'database'))})__")


@dataclass(frozen=True, kw_only=True)
class TeamPlan:
    """What to run for one team.

    :ivar redis: the Redis to use; ``None`` for the one of this standalone.
    :ivar worker_queues: queues of its Celery worker; ``None`` for no worker.
    :ivar sandbox_options: variables without the team's prefix that let it use the small Kubernetes API; empty if it
        uses none.
    """

    name: str
    instance: str
    redis: RedisSettings | None = None
    worker_queues: str | None = None
    runs_sandbox: bool = False
    sandbox_options: Mapping[str, str]


def variable_of(team: str, name: str) -> str:
    """Return the name of an Airflow variable as it is written for a team."""
    return f"AIRFLOW__{team.upper()}___{name.removeprefix('AIRFLOW__')}"


def without_team(variable: str) -> str:
    """Return the name of a team's variable as it is written for all teams; another name stays as it is."""
    return _OF_TEAM.sub(lambda found: f"AIRFLOW__{found[1]}__", variable)
