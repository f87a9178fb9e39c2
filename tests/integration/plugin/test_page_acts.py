"""What the buttons do, for whom, and what is left of it in Airflow's audit log."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import delete, select

from hybrid_executor.compat import own_session
from hybrid_executor.events import AttemptId
from hybrid_executor.states import State
from hybrid_executor.store import Order, Store
from tests.integration.plugin.conftest import ORIGIN, Html, Visitor
from tests.pretended import announce_agent, announce_worker, run_on, submit

pytestmark = pytest.mark.redis


@pytest.fixture(autouse=True)
def no_rows(airflow_db: None) -> None:
    from airflow.models.log import Log

    with own_session() as session:
        session.execute(delete(Log))
        session.commit()


def rows() -> list[Any]:
    """Return our rows in the audit log."""
    from airflow.models.log import Log

    with own_session() as session:
        columns = (Log.event, Log.owner, Log.extra, Log.dag_id, Log.task_id, Log.run_id, Log.try_number)
        return list(session.execute(select(*columns).where(Log.event.startswith("hybrid executor"))))


@contextmanager
def obedient(store: Store, name: str) -> Iterator[list[Order]]:
    """Pretend that a worker obeys: it announces what it was told."""
    seen: list[Order] = []
    stop = threading.Event()

    def obey() -> None:
        while not stop.is_set():
            for order in store.orders.take(f"life-of-{name}"):
                seen.append(order)
                state = {"drain": "draining", "resume": "running"}.get(order.verb, "running")
                queues = f"default,{order.queue}" if order.verb == "add-queue" else "default"
                announce_worker(store, name, state=state, queues=queues)
            stop.wait(0.02)

    thread = threading.Thread(target=obey)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def do(visitor: Visitor, action: str, name: str, *, user: str = "op", **more: Any) -> Any:
    form = {"action": action, "name": name, "token": visitor.token(user), **more}
    return visitor.post("do", form, user=user)


def follow(visitor: Visitor, answer: Any, *, user: str = "op") -> str:
    """Return the text of the page that an answer leads to."""
    assert answer.status_code == 303, answer.text
    return Html(visitor.get_loaded(answer.headers["location"].removeprefix("./"), user=user).text).text


def test_the_question_says_what_the_action_does(visitor: Visitor, store: Store) -> None:
    announce_worker(store, "celery@a")
    page = Html(visitor.get("confirm", user="op", action="drain-worker", name="celery@a").text)
    assert "Drain worker celery@a?" in page.text
    assert "The tasks that it runs continue." in page.text
    assert "audit log" in page.text
    assert [form["method"] for form in page.all("form")] == ["post"]
    assert rows() == []


def test_draining_a_worker_tells_it_and_leaves_a_row(visitor: Visitor, store: Store) -> None:
    announce_worker(store, "celery@a")
    with obedient(store, "celery@a") as orders:
        text = follow(visitor, do(visitor, "drain-worker", "celery@a"))
    assert [order.verb for order in orders] == ["drain"]
    assert "celery@a: draining" in text
    [row] = rows()
    assert (row.event, row.owner) == ("hybrid executor drain worker", "op")
    assert json.loads(row.extra) == {"worker": "celery@a"}


def test_each_page_of_an_action_may_come_from_another_api_server(visitor: Visitor, store: Store) -> None:
    announce_worker(store, "celery@a")
    other = Visitor()
    try:
        form = {"action": "drain-worker", "name": "celery@a", "token": visitor.token("op")}
        with obedient(store, "celery@a"):
            answer = other.post("do", form, user="op")
        assert "celery@a: draining" in follow(visitor, answer)
    finally:
        other.close()


def test_adding_a_queue_names_it_in_the_row(visitor: Visitor, store: Store) -> None:
    announce_worker(store, "celery@a")
    with obedient(store, "celery@a") as orders:
        text = follow(visitor, do(visitor, "add-queue", "celery@a", queue="reports"))
    assert [(order.verb, order.queue) for order in orders] == [("add-queue", "reports")]
    assert "queues default,reports" in text
    assert json.loads(rows()[0].extra) == {"worker": "celery@a", "queue": "reports"}


def test_a_queue_is_removed_from_those_that_the_worker_serves(visitor: Visitor, store: Store) -> None:
    announce_worker(store, "celery@a", queues="default,reports")
    page = Html(visitor.get("confirm", user="op", action="remove-queue", name="celery@a").text)
    assert "Queue default reports" in page.text
    assert [select["name"] for select in page.all("select")] == ["queue"]


def test_a_worker_that_does_not_obey_is_said_not_to(visitor: Visitor, store: Store) -> None:
    announce_worker(store, "celery@a")
    text = follow(visitor, do(visitor, "drain-worker", "celery@a"))
    assert "celery@a: has not done it yet" in text
    assert [row.event for row in rows()] == ["hybrid executor drain worker"]


def test_an_agent_can_be_drained(visitor: Visitor, store: Store) -> None:
    announce_agent(store, "agent-1")
    page = Html(visitor.get_loaded(user="op").text)
    assert "drain-agent-agent-1" in [a.get("id") for a in page.all("a")]
    text = follow(visitor, do(visitor, "drain-agent", "agent-1"))
    assert "agent-1: has not done it yet" in text
    assert json.loads(rows()[0].extra) == {"agent": "agent-1"}


def test_a_worker_that_is_gone_is_said_to_be_gone(visitor: Visitor, store: Store) -> None:
    announce_worker(store, "celery@b")
    asked = visitor.get("confirm", user="op", action="drain-worker", name="celery@a")
    answer = do(visitor, "drain-worker", "celery@a")
    assert (asked.status_code, answer.status_code) == (409, 409)
    assert "no live worker with the name or host celery@a. Live workers: celery@b" in Html(answer.text).text


def test_a_queue_needs_a_name(visitor: Visitor, store: Store) -> None:
    announce_worker(store, "celery@a")
    answer = do(visitor, "add-queue", "celery@a", queue="a,b")
    assert answer.status_code == 409
    assert "not the name of one queue" in Html(answer.text).text


@pytest.mark.parametrize("user", ["viewer", "user", "anna", "stranger"])
def test_others_may_not_act_whatever_they_send(visitor: Visitor, store: Store, user: str) -> None:
    announce_worker(store, "celery@a")
    with obedient(store, "celery@a") as orders:
        assert do(visitor, "drain-worker", "celery@a", user=user).status_code == 403
        time.sleep(0.2)
    assert orders == []
    assert rows() == []


def test_without_a_login_nothing_is_done(visitor: Visitor, store: Store) -> None:
    announce_worker(store, "celery@a")
    form = {"action": "drain-worker", "name": "celery@a", "token": visitor.token("op")}
    assert visitor.post("do", form, user=None).status_code == 401
    assert rows() == []


@pytest.mark.parametrize("origin", ["http://evil.test", "null", None])
def test_a_form_of_another_site_does_nothing(visitor: Visitor, store: Store, origin: str | None) -> None:
    announce_worker(store, "celery@a")
    form = {"action": "drain-worker", "name": "celery@a", "token": visitor.token("op")}
    answer = visitor.post("do", form, user="op", origin=origin)
    assert answer.status_code == 403
    assert "nothing was done" in answer.text
    assert rows() == []


@pytest.mark.parametrize("token", ["", "nonsense", "of another user"])
def test_a_form_without_our_token_does_nothing(visitor: Visitor, store: Store, token: str) -> None:
    announce_worker(store, "celery@a")
    sent = visitor.token("admin") if token == "of another user" else token
    form = {"action": "drain-worker", "name": "celery@a", "token": sent}
    assert visitor.post("do", form, user="op").status_code in (400, 403)
    assert rows() == []


def test_without_a_row_in_the_audit_log_nothing_is_done(
    visitor: Visitor, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.exc import OperationalError

    from hybrid_executor.plugin.page import audit

    def refuse(*_: object, **__: object) -> None:
        raise OperationalError("INSERT", {}, Exception("disk full"))

    announce_worker(store, "celery@a")
    monkeypatch.setattr(audit, "record", refuse)
    with obedient(store, "celery@a") as orders:
        answer = do(visitor, "drain-worker", "celery@a")
        time.sleep(0.2)
    assert answer.status_code == 503
    assert "Airflow's database" in Html(answer.text).text
    assert orders == []


def test_an_attempt_can_be_revoked_by_whoever_may_edit_its_task(visitor: Visitor, store: Store) -> None:
    attempt = str(uuid.uuid4())
    submit(store, [attempt], dag="reports", task="mail")
    question = Html(visitor.get("confirm-revoke", user="anna", attempt=attempt).text)
    assert "Revoke reports.mail run1 try 1?" in question.text
    assert "It does not start." in question.text
    answer = visitor.post("revoke", {"attempt": attempt, "token": visitor.token("anna")}, user="anna")
    text = follow(visitor, answer, user="anna")
    assert "revoked" in text
    [record] = store.attempts.records([AttemptId(attempt)])
    assert record is not None
    assert record.state is State.REVOKED
    assert record.reason == "Revoked by anna on the page Executor"
    [row] = rows()
    assert row[:2] == ("hybrid executor revoke attempt", "anna")
    assert row[3:] == ("reports", "mail", "run1", 1)


@pytest.mark.parametrize("user", ["anna", "viewer", "stranger"])
def test_an_attempt_of_a_dag_that_one_may_not_edit_stays(visitor: Visitor, store: Store, user: str) -> None:
    attempt = str(uuid.uuid4())
    submit(store, [attempt], dag="payroll", task="bonus")
    assert visitor.get("confirm-revoke", user=user, attempt=attempt).status_code == 403
    answer = visitor.post("revoke", {"attempt": attempt, "token": visitor.token(user)}, user=user)
    assert answer.status_code == 403
    assert "payroll" not in answer.text
    [record] = store.attempts.records([AttemptId(attempt)])
    assert record is not None
    assert record.state is State.SUBMITTED


def test_whether_an_attempt_exists_is_not_told_to_those_who_may_not_edit_it(visitor: Visitor, store: Store) -> None:
    attempt = str(uuid.uuid4())
    submit(store, [attempt], dag="payroll")
    known = visitor.get("confirm-revoke", user="anna", attempt=attempt)
    unknown = visitor.get("confirm-revoke", user="anna", attempt=str(uuid.uuid4()))
    assert (known.status_code, known.text) == (unknown.status_code, unknown.text)


def test_revoking_a_task_that_runs_says_that_it_continues(visitor: Visitor, store: Store) -> None:
    attempt = str(uuid.uuid4())
    submit(store, [attempt])
    run_on(store, attempt, "celery@a")
    page = Html(visitor.get("confirm-revoke", attempt=attempt).text)
    assert "Its task runs on celery@a and continues to its end" in page.text


def test_what_became_of_an_action_cannot_be_made_up_by_an_address(visitor: Visitor) -> None:
    assert "you have won" not in visitor.get_loaded(notice="you have won").text


def test_an_action_is_no_address_that_can_be_visited(visitor: Visitor, store: Store) -> None:
    announce_worker(store, "celery@a")
    answer = visitor.get("do", action="drain-worker", name="celery@a", token=visitor.token())
    assert answer.status_code == 405
    assert rows() == []
    assert ORIGIN not in answer.text
