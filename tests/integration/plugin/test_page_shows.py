"""What the page shows, and to whom."""

from __future__ import annotations

import uuid
from urllib.parse import urljoin

import pytest

from hybrid_executor.events import AttemptId
from hybrid_executor.states import State
from hybrid_executor.store import Store
from tests.integration.plugin.conftest import Html, Visitor
from tests.pretended import announce_agent, announce_worker, move, note, run_on, submit

pytestmark = pytest.mark.redis

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'&amp;"


def some_id() -> str:
    return str(uuid.uuid4())


def page_of(visitor: Visitor, path: str = "", *, user: str = "admin", **query: str) -> Html:
    answer = visitor.get_loaded(path, user=user, **query)
    assert answer.status_code == 200, answer.text
    return Html(answer.text)


def test_an_empty_deployment_says_what_is_missing(visitor: Visitor) -> None:
    text = page_of(visitor).text
    assert "There are no workers. Start one: airflow hybrid worker" in text
    assert "There are no agents" in text
    assert "No attempt waits." in text
    assert "No attempt has failed lately." in text
    assert "No scheduler is alive" in text


def test_it_shows_queues_workers_agents_what_waits_and_what_failed(visitor: Visitor, store: Store) -> None:
    runs, waits, in_pod, failed = (some_id() for _ in range(4))
    submit(store, [runs], task="runs")
    run_on(store, runs, "celery@a")
    announce_worker(store, "celery@a", running=[runs])
    submit(store, [waits], dag="reports", task="mail", queue="mails")
    submit(store, [in_pod], task="train", queue="gpu", pool="kubernetes")
    note(store, in_pod, "0/3 nodes are available", category="unschedulable")
    submit(store, [failed], task="prepare", queue="kubernetes", pool="kubernetes")
    move(store, failed, State.LAUNCHING)
    move(store, failed, State.FAILED, reason="Out of memory", category="oom_killed")
    announce_agent(store, "agent-1")
    text = page_of(visitor).text
    assert "celery@a running default 1 of 4 slots etl.runs" in text
    assert "mails celery 1" in text
    assert "which no living worker serves" in text
    assert "agent-1 running default/default 2 launches" in text
    assert "etl.train run1 submitted gpu" in text
    assert "0/3 nodes are available" in text
    assert "etl.prepare run1 failed kubernetes" in text
    assert "Out of memory" in text


@pytest.fixture
def elastic_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    routes = "etl-* = celery(max=1, wait=20s) > kubernetes, * = celery"
    monkeypatch.setenv("AIRFLOW__HYBRID_EXECUTOR__ROUTES", routes)
    monkeypatch.setenv("AIRFLOW__HYBRID_EXECUTOR__FAIR_SHARE", "etl-*=3")


@pytest.mark.usefixtures("elastic_routes")
def test_it_shows_how_full_targets_are_and_why_attempts_came_there(visitor: Visitor, store: Store) -> None:
    stays, moved = some_id(), some_id()
    submit(store, [stays], task="stays", queue="etl-1")
    submit(store, [moved], task="moved", queue="etl-1", pool="kubernetes")
    at = int(store.client.time()[0]) * 1000
    on_workers = {"route": "etl-*", "target": "celery", "placed_at": at}
    on_pods = on_workers | {"target": "kubernetes", "moves": 1, "moved_at": at, "moved_from": "celery"}
    store.client.hset(store.keys.attempt(AttemptId(stays)), mapping=on_workers)
    store.client.hset(store.keys.attempt(AttemptId(moved)), mapping=on_pods | {"moved_because": "wait"})
    text = page_of(visitor).text
    assert "etl-* celery (max=1, wait=20s) 1 of 1 1 full: 1 of 1" in text
    assert "etl-* kubernetes 1 1 wait: 1" in text
    assert "Running Share Served by" in text
    task = page_of(visitor, "task", dag_id="etl", run_id="run1", task_id="moved").text
    assert "Target kubernetes of route etl-*" in task
    assert "from celery: it had waited there for too long" in task
    waiting = page_of(visitor, "task", dag_id="etl", run_id="run1", task_id="stays").text
    assert "If it does not start here, it goes on to kubernetes in" in waiting


def test_each_row_leads_to_the_tab_of_its_task(visitor: Visitor, store: Store) -> None:
    submit(store, [some_id()], dag="reports", task="mail", run="manual__2026-01-01T00:00:00+00:00")
    [link] = [a for a in page_of(visitor).all("a") if "data-around" in a]
    address = urljoin("http://h/team/hybrid-executor/", str(link["href"]))
    run = "manual__2026-01-01T00%3A00%3A00%2B00%3A00"
    assert address == f"http://h/team/dags/reports/runs/{run}/tasks/mail/plugin/hybrid-executor-task"


@pytest.mark.parametrize("path", ["", "run", "task"])
def test_hostile_names_and_texts_are_shown_as_text(visitor: Visitor, store: Store, path: str) -> None:
    attempt = some_id()
    submit(store, [attempt], dag=HOSTILE, task=HOSTILE, run=HOSTILE, queue=HOSTILE)
    note(store, attempt, HOSTILE)
    announce_worker(store, HOSTILE, queues="default", running=[attempt])
    query = {"dag_id": HOSTILE, "run_id": HOSTILE, "task_id": HOSTILE} if path else {}
    page = page_of(visitor, path, **query)
    assert HOSTILE in page.text
    assert page.all("img") == []
    assert [script["src"] for script in page.all("script")] == [str(page.all("script")[0]["src"])]
    assert [name for _, attributes in page.elements for name in attributes if name.startswith("on")] == []


def test_a_page_runs_only_our_files(visitor: Visitor) -> None:
    answer = visitor.get_loaded()
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
    assert policy["frame-ancestors"] == "'self'"
    assert (answer.headers["cache-control"], answer.headers["x-content-type-options"]) == ("no-store", "nosniff")
    html = Html(answer.text)
    assert [attributes for _, attributes in html.elements if "style" in attributes] == []
    for asset in (str(html.all("script")[0]["src"]), str(html.all("link")[0]["href"])):
        assert visitor.get(asset, user=None).status_code == 200


def test_rows_of_dags_that_one_may_not_read_are_counted_and_not_shown(visitor: Visitor, store: Store) -> None:
    mine, secret, failed, runs = (some_id() for _ in range(4))
    submit(store, [mine], dag="etl", task="load")
    submit(store, [secret], dag="payroll", task="bonus", queue="salaries")
    note(store, secret, "Image salaries:2026 cannot be pulled", category="image_pull")
    submit(store, [failed], dag="payroll", task="raise", pool="kubernetes", queue="kubernetes")
    move(store, failed, State.LAUNCHING)
    move(store, failed, State.FAILED, reason="The boss said no", category="oom_killed")
    submit(store, [runs], dag="payroll", task="pay")
    run_on(store, runs, "celery@a")
    announce_worker(store, "celery@a", running=[runs])
    answer = visitor.get_loaded(user="anna")
    for word in ("payroll", "bonus", "Image salaries", "The boss"):
        assert word not in answer.text
    text = Html(answer.text).text
    assert "etl.load" in text
    assert "1 waiting attempt of Dags that you may not read is not shown." in text
    assert "1 failed attempt of Dags that you may not read is not shown." in text
    assert "1 of 4 slots and 1 more that are not listed here" in text
    assert "2 problems of tasks of Dags that you may not read are not shown." in text
    everything = page_of(visitor, user="viewer").text
    assert "payroll.bonus" in everything
    assert "may not read" not in everything


def test_many_attempts_of_one_dag_do_not_hide_the_few_of_another(visitor: Visitor, store: Store) -> None:
    submit(store, [some_id() for _ in range(600)], dag="payroll")
    submit(store, [some_id()], dag="etl", task="load")
    text = page_of(visitor, user="anna").text
    assert "etl.load" in text
    assert "600 waiting attempts of Dags that you may not read are not shown." in text
    bounded = page_of(visitor)
    assert len([row for row in bounded.all("tr") if str(row.get("id", "")).startswith("waiting-")]) == 50
    assert "551 more waiting attempts are not shown; airflow hybrid tasks shows all." in bounded.text


def test_the_part_that_changes_can_be_asked_for_alone(visitor: Visitor, store: Store) -> None:
    announce_worker(store, "celery@a")
    answer = visitor.get(part="live")
    assert answer.headers["x-hybrid-part"] == "live"
    part = Html(answer.text)
    assert part.elements[0] == ("div", {"id": "live"})
    assert part.all("html") == part.all("script") == []
    assert "celery@a" in part.text


def test_tables_have_headers_and_every_region_a_name(visitor: Visitor, store: Store) -> None:
    announce_worker(store, "celery@a")
    announce_agent(store, "agent-1")
    submit(store, [some_id()])
    page = page_of(visitor)
    assert page.all("html")[0]["lang"] == "en"
    assert [th for th in page.all("th") if th.get("scope") not in ("col", "row")] == []
    ids = [str(attributes["id"]) for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    labels = [str(attributes["aria-labelledby"]) for _, attributes in page.elements if "aria-labelledby" in attributes]
    assert labels
    assert set(labels) <= set(ids)
    assert page.all("a")[0]["href"] == "#main"
    assert [len(page.all(tag)) for tag in ("main", "h1", "header")] == [1, 1, 1]


def test_a_path_before_the_address_changes_no_link(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__HYBRID_EXECUTOR__REDIS_URL", redis_url)
    visitor = Visitor(root_path="/team/airflow")
    try:
        page = page_of(visitor)
        addresses = [str(a["href"]) for a in [*page.all("a"), *page.all("link")]]
        assert [address for address in addresses if address.startswith("/")] == []
        login = Html(visitor.get(user=None).text).all("a")[-1]
        assert login["href"] == "../api/v2/auth/login?next=/team/airflow/hybrid-executor/"
    finally:
        visitor.close()


def test_a_run_shows_its_attempts_and_what_needs_attention_first(visitor: Visitor, store: Store) -> None:
    runs, waits, other = (some_id() for _ in range(3))
    submit(store, [runs], task="a_runs")
    run_on(store, runs, "celery@a")
    submit(store, [waits], task="b_waits")
    submit(store, [other], run="run2", task="elsewhere")
    text = page_of(visitor, "run", dag_id="etl", run_id="run1").text
    assert text.index("etl.b_waits") < text.index("etl.a_runs")
    assert "elsewhere" not in text


def test_a_run_without_records_says_so(visitor: Visitor) -> None:
    assert "Redis has no record of an attempt of this run" in page_of(visitor, "run", dag_id="etl", run_id="r").text


def test_a_task_tells_what_each_attempt_waits_for(visitor: Visitor, store: Store) -> None:
    attempt = some_id()
    submit(store, [attempt], dag="reports", task="mail", queue="mails")
    page = page_of(visitor, "task", dag_id="reports", run_id="run1", task_id="mail", map_index="{MAP_INDEX}")
    assert "Waits for:" in page.text
    assert "What to do:" in page.text
    assert attempt in page.text
    assert [a["href"] for a in page.all("a") if "confirm-revoke" in str(a["href"])] == [
        f"confirm-revoke?attempt={attempt}"
    ]
    reader = page_of(visitor, "task", user="viewer", dag_id="reports", run_id="run1", task_id="mail")
    assert [a for a in reader.all("a") if "confirm-revoke" in str(a["href"])] == []


def test_an_unknown_task_is_said_to_be_unknown(visitor: Visitor) -> None:
    page = page_of(visitor, "task", dag_id="etl", run_id="r", task_id="t", map_index="x")
    assert "Neither Airflow nor Redis knows" in page.text
