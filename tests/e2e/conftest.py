"""A whole Airflow for tests."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine

from hybrid_executor.config.profiles import read_profiles
from hybrid_executor.demo.journal import Journal
from hybrid_executor.demo.runs import Runs, follow, wait_for_dags
from hybrid_executor.routing import parse_routes
from hybrid_executor.standalone import LocalAirflow
from hybrid_executor.standalone.logs import ComponentLogs
from hybrid_executor.standalone.private import plan_private
from hybrid_executor.standalone.signals import StopWish
from tests.e2e.postgres import PostgresServer
from tests.leaks import shared
from tests.waiting import PATIENCE_SECONDS, wait_until

DAGS = Path(__file__).parent / "dags"
PROFILES = Path(__file__).parents[2] / "conf" / "profiles.yaml"
_RUN_SECONDS = 240


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with ExitStack() as stack:
        with shared():
            server = stack.enter_context(PostgresServer())
        yield server


def home_of(airflow: LocalAirflow) -> Path:
    return Path(airflow.environment["AIRFLOW_HOME"])


@contextmanager
def open_database(airflow: LocalAirflow) -> Iterator[Engine]:
    """Airflow's database, to look at what Airflow stored."""
    engine = create_engine(airflow.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    yield engine
    engine.dispose()


@contextmanager
def run_airflow(
    home: Path, *, dags: Path, routes: str, executor: str, options: Mapping[str, str], path: str = ""
) -> Iterator[LocalAirflow]:
    """Start a whole Airflow and wait until it has read its DAGs; its logs are below ``home``."""
    logs = ComponentLogs(home / "components")
    plan = plan_private(
        home,
        dags=dags,
        environment=os.environ,
        routes=parse_routes(routes, profiles=read_profiles(str(PROFILES))),
        profiles_file=PROFILES,
        executor=executor,
        options=options,
        path=path,
    )
    with LocalAirflow(plan, print_line=logs.write) as airflow:
        airflow.stack.wait_ready(timeout_seconds=PATIENCE_SECONDS)
        expected = len(list(dags.glob("*.py")))
        wait_for_dags(airflow.api, expected=expected, timeout_seconds=PATIENCE_SECONDS, stop=StopWish().stop)
        yield airflow
    logs.close()


def run_dags(airflow: LocalAirflow, dag_ids: Iterable[str]) -> Runs:
    """Run each of these DAGs once and return how everything stood once all had ended."""
    runs = Runs(airflow.api, Journal(airflow.store))
    runs.start(dag_ids)

    def are_over() -> bool:
        airflow.stack.advance()
        return not follow(runs) and runs.are_over

    wait_until(are_over, seconds=_RUN_SECONDS, what="all runs are over")
    wait_until(
        lambda: not follow(runs) and all(record.state.is_terminal for record in runs.journal.records),
        seconds=30,
        what="all attempts have ended in Redis",
    )
    return runs
