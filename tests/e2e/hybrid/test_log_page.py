"""What the log page of a task shows, asked of the API server of a whole Airflow as the UI asks it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import text

from hybrid_executor.standalone import LocalAirflow
from hybrid_executor.standalone.api import ApiError
from tests.e2e.conftest import home_of, open_database
from tests.waiting import PATIENCE_SECONDS, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

# What each log page is to begin with.
REASONS = {
    "without_image": ("ErrImagePull", "missing.invalid/airflow:1"),
    "rejected": ("no key 'imagee'. Did you mean 'image'?",),
    "without_template": ("/no/such/template.yaml",),
    "killed_in_pod": ("137",),
    "killed_on_worker": ("SIGKILL",),
}


# Airflow keeps no page of a try that ended while it was queued, once the next one is under way.
LAST_TRY = {"rejected": 2}


class Pages:
    """The log pages of one run."""

    def __init__(self, airflow: LocalAirflow, run_id: str) -> None:
        self._airflow, self._run_id = airflow, run_id
        self._api = httpx.Client(base_url=airflow.addresses.base_url, timeout=PATIENCE_SECONDS)
        login = self._api.post("/auth/token", json={"username": "admin", "password": airflow.password})
        self._api.headers["Authorization"] = f"Bearer {login.json()['access_token']}"

    def close(self) -> None:
        self._api.close()

    def ask(self, task_id: str, **headers: str) -> httpx.Response:
        number = LAST_TRY.get(task_id, 1)
        path = f"/api/v2/dags/ending/dagRuns/{quote(self._run_id)}/taskInstances/{task_id}/logs/{number}"
        return self._api.get(path, headers=headers)

    def read(self, task_id: str) -> list[dict[str, Any]]:
        answer = self.ask(task_id, Accept="application/json")
        assert answer.status_code == 200, answer.text
        content: list[dict[str, Any]] = answer.json()["content"]
        return content

    def states(self) -> Mapping[str, str]:
        rows = self._airflow.api.task_instances("ending", self._run_id)
        return {row["task_id"]: row["state"] for row in rows}


@pytest.fixture(scope="module")
def pages(airflow: LocalAirflow) -> Iterator[Pages]:
    """The pages once all tasks but the one that waits have ended."""
    pages = Pages(airflow, airflow.api.trigger("ending"))
    ended = {*REASONS, "fails_by_itself"}

    def is_over() -> bool:
        airflow.stack.advance()
        try:
            states = pages.states()
        except ApiError:
            return False  # it is slow where much starts at once
        return all(states[name] == "failed" for name in ended) and states["waits_in_pod"] == "running"

    wait_until(is_over, seconds=240, what=f"{sorted(ended)} have failed")
    yield pages
    pages.close()


@pytest.mark.parametrize("task_id", REASONS)
def test_the_reason_of_a_failed_attempt_stands_first(pages: Pages, task_id: str) -> None:
    first = pages.read(task_id)[0]
    assert first["event"].startswith("Attempt failed: ")
    assert [words for words in REASONS[task_id] if words not in first["event"]] == []
    assert (first["level"], first["logger"]) == ("error", "hybrid_executor")
    assert first["timestamp"]


@pytest.mark.parametrize("task_id", ["without_image", "rejected", "without_template"])
def test_a_task_that_never_ran_shows_nothing_but_the_reason(pages: Pages, task_id: str) -> None:
    assert "hostname_callable" not in pages.ask(task_id, Accept="application/json").text
    assert [line["event"] for line in pages.read(task_id) if not line["event"].startswith("Attempt failed: ")] == []


@pytest.mark.parametrize("task_id", ["killed_in_pod", "killed_on_worker"])
def test_what_a_killed_task_wrote_follows_the_reason(pages: Pages, task_id: str) -> None:
    events = [line["event"] for line in pages.read(task_id)]
    assert events.count("before the shot") == 1


@pytest.mark.parametrize("task_id", REASONS)
def test_the_stream_that_the_ui_reads_holds_the_same(pages: Pages, task_id: str) -> None:
    answer = pages.ask(task_id, Accept="application/x-ndjson")
    assert [json.loads(line)["event"] for line in answer.text.splitlines()] == [
        line["event"] for line in pages.read(task_id)
    ]


def test_a_task_that_fails_by_itself_keeps_its_log_as_it_is(pages: Pages) -> None:
    events = [line["event"] for line in pages.read("fails_by_itself")]
    assert events[0] == "::group::Log message source details"
    assert any("on purpose" in json.dumps(line) for line in pages.read("fails_by_itself"))
    assert "Attempt failed" not in str(events)


def test_a_page_that_is_not_allowed_tells_no_reason(airflow: LocalAirflow, pages: Pages) -> None:
    answer = pages.ask("rejected", Authorization="Bearer nobody")
    assert answer.status_code in (401, 403)
    assert "imagee" not in answer.text


def test_each_line_of_a_running_pod_is_shown_once_where_logs_are_shared(pages: Pages) -> None:
    events = [line["event"] for line in pages.read("waits_in_pod")]
    assert sum("a line of the task that waits" in event for event in events) == 1
    assert any("Log of pod" in event for event in events)


def test_each_failed_attempt_has_a_row_in_the_audit_log(airflow: LocalAirflow, pages: Pages) -> None:
    query = text("SELECT task_id FROM log WHERE event = 'hybrid executor: attempt failed' AND dag_id = 'ending'")
    with open_database(airflow) as engine, engine.connect() as connection:
        assert sorted(connection.execute(query).scalars()) == sorted([*REASONS, "rejected"])
    components = home_of(airflow) / "components"
    assert "trying to save task event logs" not in "".join(path.read_text() for path in components.glob("scheduler*"))


def test_without_its_row_a_page_says_where_the_reason_may_be(airflow: LocalAirflow, pages: Pages) -> None:
    with open_database(airflow) as engine, engine.begin() as connection:
        connection.execute(text("DELETE FROM log WHERE task_id = 'without_template'"))
    [only] = pages.read("without_template")
    assert "airflow db clean" in only["event"]


def test_the_task_that_waits_can_end(airflow: LocalAirflow, pages: Pages) -> None:
    (home_of(airflow) / "ending-may-end").touch()
    wait_until(lambda: pages.states()["waits_in_pod"] == "success", seconds=60, what="it has ended")
    assert pages.read("waits_in_pod")[0]["event"] == "::group::Log message source details"
