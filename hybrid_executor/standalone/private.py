"""The plan of an Airflow with its own home, which shares nothing with another Airflow on this machine."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from pathlib import Path

from hybrid_executor.config import DictConfig
from hybrid_executor.routing import Routes
from hybrid_executor.standalone.configured import HYBRID_EXECUTOR, sandbox_image
from hybrid_executor.standalone.environment import clean_environment
from hybrid_executor.standalone.local_airflow import Plan


def plan_private(
    home: Path,
    *,
    dags: Path,
    environment: Mapping[str, str],
    routes: Routes,
    profiles_file: Path | None,
    executor: str = HYBRID_EXECUTOR,
    options: Mapping[str, str] | None = None,
    port: int | None = None,
    path: str = "",
) -> Plan:
    """Return the plan of a whole Airflow in ``home``, with SQLite unless ``options`` set another database.

    :param environment: variables that configure another Airflow or cluster are removed.
    :param options: variables that win over all others.
    :param path: the path of the UI and the REST API, such as "/airflow".
    """
    home.mkdir(parents=True, exist_ok=True)
    # Without this file, several components would write one at the same time.
    (home / "airflow.cfg").write_text("# All options of this home are environment variables.\n", encoding="utf-8")
    return Plan(
        state_dir=home / "state",
        environment=clean_environment(environment),
        executor=executor,
        options={
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            # The same host name as workers use, so that the two can be compared; pods report their own name.
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            # Airflow's supervisor may notice the end of a task process that late (default 5).
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            # On a busy machine Airflow's API server may take longer than 5 s to answer a task that wants to start.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
            "AIRFLOW__HYBRID_EXECUTOR__ROUTES": str(routes),
            "AIRFLOW__HYBRID_EXECUTOR__PROFILES_FILE": str(profiles_file or ""),
            **sandbox_image(DictConfig()),
            **(options or {}),
        },
        runs_sandbox="kubernetes" in routes.pools,
        worker_queues="" if "celery" in routes.pools else None,
        port=port,
        path=path,
    )
