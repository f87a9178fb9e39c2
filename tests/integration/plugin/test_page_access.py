"""Who may see what, by Airflow's own checks."""

from __future__ import annotations

import uuid

import pytest

from hybrid_executor.store import Store
from tests.integration.plugin.conftest import Html, Visitor
from tests.pretended import announce_worker, submit

pytestmark = pytest.mark.redis

TASK = {"dag_id": "etl", "run_id": "run1", "task_id": "load"}
PAGES = {"": {}, "task": TASK, "run": {"dag_id": "etl", "run_id": "run1"}}
ACTIONS = {
    "confirm": {"action": "drain-worker", "name": "celery@a"},
    "confirm-revoke": {"attempt": "a"},
}


@pytest.mark.parametrize("path", [*PAGES, *ACTIONS])
def test_without_a_login_there_is_only_a_way_to_log_in(visitor: Visitor, store: Store, path: str) -> None:
    announce_worker(store, "celery@a")
    answer = visitor.get(path, user=None, **{**PAGES, **ACTIONS}[path])
    assert answer.status_code == 401
    assert "celery@a" not in answer.text
    assert Html(answer.text).all("a")[-1]["href"] == "../api/v2/auth/login?next=/hybrid-executor/"


@pytest.mark.parametrize("path", [*PAGES, *ACTIONS])
def test_whoever_may_see_nothing_in_airflow_sees_nothing_here(visitor: Visitor, store: Store, path: str) -> None:
    announce_worker(store, "celery@a")
    answer = visitor.get(path, user="stranger", **{**PAGES, **ACTIONS}[path])
    assert answer.status_code == 403
    assert "celery@a" not in Html(answer.text).text
    assert "Not allowed" in answer.text


def test_a_wrong_token_is_no_login(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.integration.plugin.conftest._login", lambda user: "nonsense")
    assert visitor.get().status_code in (401, 403)


def test_a_tab_needs_access_to_its_dag(visitor: Visitor, store: Store) -> None:
    submit(store, [str(uuid.uuid4())], dag="payroll", task="bonus")
    wanted = {"dag_id": "payroll", "run_id": "run1"}
    for path, query in (("run", wanted), ("task", {**wanted, "task_id": "bonus"})):
        assert visitor.get(path, user="anna", **query).status_code == 403
        assert visitor.get_loaded(path, user="viewer", **query).status_code == 200


def test_whoever_may_read_dags_but_no_task_instances_sees_no_rows(visitor: Visitor, store: Store) -> None:
    submit(store, [str(uuid.uuid4())], dag="etl", task="load")
    page = visitor.get_loaded(user="author")
    assert "etl.load" not in page.text
    assert "1 waiting attempt of Dags that you may not read is not shown." in Html(page.text).text
    assert visitor.get("run", user="author", dag_id="etl", run_id="run1").status_code == 403


def test_no_other_dag_can_be_read_by_naming_two(visitor: Visitor, store: Store) -> None:
    submit(store, [str(uuid.uuid4())], dag="payroll", task="bonus", run="secret")
    for first, second in (("etl", "payroll"), ("payroll", "etl")):
        answer = visitor.get(f"run?dag_id={first}&run_id=secret&dag_id={second}", user="anna")
        assert "payroll.bonus" not in answer.text


def test_all_dags_together_are_no_dag(visitor: Visitor, store: Store) -> None:
    submit(store, [str(uuid.uuid4())], dag="payroll", task="bonus")
    answer = visitor.get("run", user="anna", dag_id="~", run_id="run1")
    assert "bonus" not in answer.text


def test_an_incomplete_address_is_said_to_be_incomplete(visitor: Visitor) -> None:
    answer = visitor.get("task", dag_id="etl")
    assert answer.status_code == 400
    assert "not complete" in answer.text


def test_other_addresses_do_not_exist(visitor: Visitor) -> None:
    for path in ("nothing", "static/nothing", "static/../app.py", "static/%2e%2e/app.py", "docs", "openapi.json"):
        assert visitor.get(path).status_code == 404, path


@pytest.mark.parametrize(("user", "sees_actions"), [("admin", True), ("op", True), ("user", False), ("viewer", False)])
def test_actions_are_offered_to_those_who_operate_airflow(
    visitor: Visitor, store: Store, user: str, sees_actions: bool
) -> None:
    announce_worker(store, "celery@a")
    page = Html(visitor.get_loaded(user=user).text)
    offered = [a for a in page.all("a") if str(a["href"]).startswith("confirm")]
    assert bool(offered) is sees_actions
    assert visitor.get("confirm", user=user, **ACTIONS["confirm"]).status_code == (200 if sees_actions else 403)
