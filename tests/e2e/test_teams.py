"""A whole Airflow in its multi-team mode: two teams and an executor of all teams, on one Redis and one cluster.

It costs a minute of two processors, so it runs only with HYBRID_TEST_TEAMS=1: ``make test-teams``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import httpx
import pytest

from hybrid_executor.demo.journal import Journal
from hybrid_executor.routing import parse_routes
from hybrid_executor.standalone import LocalAirflow
from hybrid_executor.standalone.api import AirflowApi, ApiError
from hybrid_executor.standalone.components import airflow_command
from hybrid_executor.standalone.logs import ComponentLogs
from hybrid_executor.standalone.private import plan_private
from hybrid_executor.standalone.teams import TeamPlan
from hybrid_executor.store import Record
from tests.e2e.conftest import DAGS
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not os.environ.get("HYBRID_TEST_TEAMS"), reason="costs a minute; run it with make test-teams"),
]

OURS = "hybrid_executor.HybridExecutor"
TEAMS = ("red", "blue")
DAGS_OF = {"": "of_shared", "red": "of_red", "blue": "of_blue"}
USERS = "admin:admin,ruth:op:red,bob:op:blue,guest:op"
_IMAGE = {
    "AIRFLOW__KUBERNETES_EXECUTOR__WORKER_CONTAINER_REPOSITORY": "apache/airflow",
    "AIRFLOW__KUBERNETES_EXECUTOR__WORKER_CONTAINER_TAG": "any",
}


def bundles() -> str:
    local = "airflow.dag_processing.bundles.local.LocalDagBundle"
    listed = [{"name": "shared", "classpath": local, "kwargs": {"path": str(DAGS / "teams" / "shared")}}]
    listed += [
        {"name": team, "classpath": local, "kwargs": {"path": str(DAGS / "teams" / team)}, "team_name": team}
        for team in TEAMS
    ]
    return json.dumps(listed)


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    home = tmp_path_factory.mktemp("teams")
    logs = ComponentLogs(home / "components")
    plan = plan_private(
        home,
        dags=DAGS / "teams" / "shared",
        environment=os.environ,
        routes=parse_routes("kubernetes=kubernetes, *=celery", profiles={}),
        profiles_file=None,
        executor=f"{OURS};red={OURS};blue={OURS}",
        options={
            "AIRFLOW__CORE__MULTI_TEAM": "True",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": USERS,
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": bundles(),
            "AIRFLOW__BLUE___HYBRID_EXECUTOR__ROUTES": "*=kubernetes",
        },
    )
    red = TeamPlan(
        name="red", instance="airflow-red", worker_queues="default", runs_sandbox=True, sandbox_options=_IMAGE
    )
    blue = TeamPlan(name="blue", instance="airflow-blue", runs_sandbox=True, sandbox_options=_IMAGE)
    plan = replace(plan, teams=(red, blue))
    with LocalAirflow(plan, print_line=logs.write) as running:
        running.stack.wait_ready(timeout_seconds=240)
        wait_until(lambda: running.api.dag_ids() == set(DAGS_OF.values()), seconds=120, what="the Dags are read")
        yield running
    logs.close()


@pytest.fixture(scope="module")
def records(airflow: LocalAirflow) -> dict[str, list[Record]]:
    """Run each Dag once; return the records that each executor has, "" for that of all teams."""
    api = airflow.api
    runs = {dag: api.trigger(dag) for dag in DAGS_OF.values()}
    journals = {"": Journal(airflow.store), **{team: Journal(store) for team, store in airflow.team_stores.items()}}

    states: dict[str, str] = {}

    def are_over() -> bool:
        airflow.stack.advance()
        for journal in journals.values():
            journal.update()
        with suppress(ApiError):  # on a busy machine it may answer late
            states.update({dag: api.run_state(dag, run) for dag, run in runs.items()})
        return bool(states) and set(states.values()) <= {"success", "failed"}

    wait_until(are_over, seconds=300, what="all runs are over")
    assert states == dict.fromkeys(runs, "success")

    def have_ended() -> bool:
        for journal in journals.values():
            journal.update()
        return all(record.state.is_terminal for journal in journals.values() for record in journal.records)

    wait_until(have_ended, seconds=60, what="all attempts have ended in Redis")
    return {team: journal.records for team, journal in journals.items()}


def test_the_tasks_of_each_team_run_in_its_own_executor(records: dict[str, list[Record]]) -> None:
    assert {team: {record.dag_id for record in found} for team, found in records.items()} == {
        team: {dag} for team, dag in DAGS_OF.items()
    }


def test_each_team_has_its_own_routes_and_workers(records: dict[str, list[Record]]) -> None:
    def pools(team: str) -> list[tuple[str, int, str]]:
        return sorted((record.task_id, record.try_number, record.pool) for record in records[team])

    assert pools("") == pools("red")
    assert pools("red") == [("fails_once", 1, "celery"), ("fails_once", 2, "celery"), ("in_pod", 1, "kubernetes")]
    assert {pool for _, _, pool in pools("blue")} == {"kubernetes"}
    workers = {record.holder for record in records["red"] if record.pool == "celery"}
    assert {name.partition("@")[0] for name in workers} == {"red"}
    assert not workers & {record.holder for record in records[""]}


def test_agents_leases_and_members_differ(airflow: LocalAirflow, records: dict[str, list[Record]]) -> None:
    names = {
        team: {member.name for member in store.presence.members("agent") if member.is_alive}
        for team, store in (("", airflow.store), *airflow.team_stores.items())
    }
    assert all(len(found) == 1 for found in names.values())
    assert len(set.union(*names.values())) == 3
    keys = {key.partition("}")[0] for key in airflow.store.client.scan_iter("{hybrid:*")}
    assert keys == {"{hybrid:airflow", "{hybrid:airflow-red", "{hybrid:airflow-blue"}


def page(
    airflow: LocalAirflow, user: str, path: str = "", *, form: dict[str, str] | None = None, **query: str
) -> httpx.Response:
    """Ask for a page as a user, or send a form."""
    passwords = json.loads((airflow.plan.state_dir / "passwords.json").read_text())
    api = AirflowApi(airflow.addresses.base_url, username=user, password=passwords[user])
    try:
        wait_until(lambda: _is_logged_in(api), seconds=60, what=f"{user} is logged in")
        token: Any = api._token
        url = f"{airflow.addresses.base_url}/hybrid-executor/{path}"

        def ask() -> httpx.Response | None:
            method = "GET" if form is None else "POST"
            answer = httpx.request(method, url, params=query, data=form, cookies={"_token": token}, timeout=60)
            return None if "data-loading" in answer.text else answer

        return wait_until(ask, seconds=60, what="the page is there")  # type: ignore[return-value]
    finally:
        api.close()


def _is_logged_in(api: AirflowApi) -> bool:
    with suppress(ApiError):
        api.dag_ids()
    return bool(api._token)


def teams_offered(html: str) -> list[str]:
    found = re.search(r'<nav id="teams".*?</nav>', html, re.DOTALL)
    return re.findall(r">([a-z ]+)</", found[0]) if found else []


def test_the_page_shows_only_teams_that_one_may_see(airflow: LocalAirflow, records: dict[str, list[Record]]) -> None:
    assert teams_offered(page(airflow, "admin").text) == ["all teams", "red", "blue"]
    assert teams_offered(page(airflow, "ruth").text) == ["all teams", "red"]
    assert teams_offered(page(airflow, "guest").text) == []
    assert "Instance airflow-red" in page(airflow, "ruth", team="red").text
    for user, team in (("ruth", "blue"), ("bob", "red"), ("guest", "red"), ("admin", "green")):
        assert page(airflow, user, team=team).status_code == 403


def test_no_one_acts_on_the_workers_and_attempts_of_another_team(
    airflow: LocalAirflow, records: dict[str, list[Record]]
) -> None:
    worker = next(record.holder for record in records["red"] if record.pool == "celery")
    wanted = {"action": "drain-worker", "name": worker, "team": "red"}
    assert page(airflow, "ruth", "confirm", **wanted).status_code == 200
    assert page(airflow, "bob", "confirm", **wanted).status_code == 403
    # The worker is not known to the executor of all teams.
    assert page(airflow, "guest", "confirm", **{**wanted, "team": ""}).status_code == 409
    attempt = records["red"][0].id
    assert page(airflow, "bob", "confirm-revoke", attempt=attempt).status_code == 403
    assert page(airflow, "ruth", "confirm-revoke", attempt=attempt).status_code == 200
    task = {"dag_id": "of_red", "run_id": records["red"][0].run_id, "task_id": "fails_once"}
    assert page(airflow, "bob", "task", **task).status_code == 403
    assert page(airflow, "bob", "run", dag_id="of_red", run_id=task["run_id"]).status_code == 403
    for path, fields in (("do", wanted), ("revoke", {"attempt": attempt})):
        assert page(airflow, "bob", path, form={**fields, "token": "forged"}).status_code == 403
        # Whether something exists is told to nobody of another team.
        unknown = {name: "unknown" if name in ("name", "attempt") else value for name, value in fields.items()}
        assert page(airflow, "bob", path, form={**unknown, "token": "forged"}).status_code == 403
    assert attempt in page(airflow, "ruth", "task", **task).text


def hybrid(airflow: LocalAirflow, *words: str) -> subprocess.CompletedProcess[str]:
    command = airflow_command("hybrid", *words)
    return subprocess.run(command, env=airflow.environment, capture_output=True, text=True, timeout=120, check=False)


def test_commands_tell_of_one_team(airflow: LocalAirflow, records: dict[str, list[Record]]) -> None:
    red = json.loads(hybrid(airflow, "status", "--team", "red", "--json").stdout)
    assert red["instance"] == "airflow-red"
    assert [worker["name"].partition("@")[0] for worker in red["workers"]] == ["red"]
    listed = json.loads(hybrid(airflow, "tasks", "--team", "blue", "--ended", "--json").stdout)
    assert {row["dag_id"] for row in listed} == {"of_blue"}
    compared = hybrid(airflow, "reconcile", "--team", "red", "--dry-run")
    assert "No differences." in compared.stdout, compared
    checked = json.loads(hybrid(airflow, "doctor", "--team", "red", "airflow", "--json").stdout)
    found = [(one["level"], one["what"]) for one in checked["findings"] if one["check"] in ("executor", "teams")]
    assert found == [("ok", OURS), ("ok", "red, blue have this executor")]
    told = hybrid(airflow, "status", "--team", "green")
    assert (told.returncode, told.stdout) == (2, "")
    assert "names no team 'green'" in told.stderr
    assert len(told.stderr.strip().splitlines()) == 1
