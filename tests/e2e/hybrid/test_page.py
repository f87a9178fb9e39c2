"""The page inside Airflow's UI, as a person uses it in a browser.

The tests run in the order of the file, as a person would go on.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from hybrid_executor.standalone import LocalAirflow
from hybrid_executor.standalone.api import ApiError
from tests.e2e.conftest import home_of, open_database
from tests.e2e.contrast import faint_texts
from tests.e2e.hybrid.conftest import PATH, READER
from tests.waiting import PATIENCE_SECONDS, wait_until

try:
    from selenium.webdriver.common.keys import Keys

    from tests.e2e.browser import Browser, missing_program, open_browser
except ImportError as error:  # the extra "test" has it
    pytest.skip(str(error), allow_module_level=True)

PAGE = "plugin/hybrid-executor"

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(missing_program()), reason=missing_program()),
]


@pytest.fixture(scope="module")
def run_id(airflow: LocalAirflow) -> Iterator[str]:
    """A run whose tasks are where they stay."""
    run_id = airflow.api.trigger("waiting")

    def has_come() -> bool:
        airflow.stack.advance()
        try:
            rows = airflow.api.task_instances("waiting", run_id)
        except ApiError:
            return False  # it is late: the first request to each of its processes loads the whole API
        states = {row["task_id"]: row["state"] for row in rows}
        return states == {"unserved": "queued", "runs": "running", "without_image": "failed"}

    wait_until(has_come, seconds=240, what="the three tasks are where they stay")
    yield run_id
    (home_of(airflow) / "waiting-may-end").touch()


@pytest.fixture(scope="module")
def window(airflow: LocalAirflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A window in which the administrator has logged in, by the UI's own form."""
    with open_browser(airflow.addresses.base_url, tmp_path_factory.mktemp("browser")) as browser:
        browser.open("")
        browser.find("input[name=username]").send_keys("admin")
        browser.find("input[name=password]").send_keys(airflow.password)
        browser.find("button[type=submit]").click()
        wait_until(lambda: "/auth/" not in browser.driver.current_url, what="the UI is shown after the login")
        yield browser


@pytest.fixture
def browser(window: Browser, run_id: str) -> Iterator[Browser]:
    """The same window at the page of the navigation; the browser must not complain of anything of ours."""
    window.errors()
    if not window.driver.current_url.endswith(PAGE):  # the test before may have left it there
        window.open(PAGE)
    window.enter_frame()
    yield window
    # A state that is unknown has this status.
    assert [error for error in window.errors() if "503 (Service Unavailable)" not in error] == []


@contextmanager
def frozen_redis(airflow: LocalAirflow) -> Iterator[None]:
    pid = int(airflow.store.client.info("server")["process_id"])  # type: ignore[index]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def worker_of(airflow: LocalAirflow) -> Any:
    [worker] = [member for member in airflow.store.presence.members("worker") if member.is_alive]
    return worker


def audit_rows(airflow: LocalAirflow) -> list[Any]:
    query = text("SELECT event, owner, extra FROM log WHERE event LIKE 'hybrid executor %' ORDER BY id")
    with open_database(airflow) as engine, engine.connect() as connection:
        return list(connection.execute(query))


def test_the_navigation_leads_to_the_page(browser: Browser, airflow: LocalAirflow) -> None:
    browser.open("")
    browser.find(f"a[href*='{PAGE}']", text="Executor").click()
    browser.enter_frame()
    browser.find("#workers tbody tr", text=worker_of(airflow).name)
    assert browser.find("h1").text == "Executor"
    problems = browser.find("#problems").text
    assert "1 attempt waits in queue nobody, which no living worker serves." in problems
    assert "What to do: Run airflow hybrid worker --queues nobody" in problems
    assert "waiting.without_image" in browser.find("#failures").text
    browser.take_picture("ui-page")
    browser.run("document.getElementById('queues').scrollIntoView()")
    browser.take_picture("ui-queues")


def test_a_waiting_task_is_found_and_its_tab_says_why(browser: Browser, run_id: str) -> None:
    browser.find("#waiting a", text="waiting.unserved").click()
    address = "/tasks/unserved/plugin/hybrid-executor-task"
    wait_until(lambda: browser.driver.current_url.endswith(address), what="its tab is open")
    assert f"{PATH}/dags/waiting/runs/" in browser.driver.current_url
    browser.enter_frame("#now")
    now = browser.find("#now").text
    assert "queue nobody" in now
    assert "What to do:" in now
    browser.take_picture("ui-task")
    browser.driver.back()
    browser.enter_frame("#waiting")
    browser.find("#waiting a", text="waiting.unserved")


def test_the_tab_stands_beside_the_ui_s_own(browser: Browser, run_id: str) -> None:
    browser.open(f"dags/waiting/runs/{run_id}/tasks/without_image")
    browser.find("a[href*='hybrid-executor-task']", text="Executor").click()
    browser.enter_frame("#now")
    assert "missing.invalid/airflow:1" in browser.find("#attempts").text
    assert "Correct the image" in browser.find("#now").text


def test_a_run_has_a_tab_with_all_its_attempts(browser: Browser, run_id: str) -> None:
    browser.open(f"dags/waiting/runs/{run_id}")
    browser.find("a[href*='hybrid-executor-run']", text="Executor").click()
    browser.enter_frame("#attempts")
    rows = browser.find("#attempts").text
    assert [name for name in ("waiting.unserved", "waiting.runs", "waiting.without_image") if name not in rows] == []


def test_a_worker_is_drained_by_keyboard_and_the_audit_log_says_by_whom(
    browser: Browser, airflow: LocalAirflow
) -> None:
    name = worker_of(airflow).name
    browser.find("#workers tbody tr", text=name)
    browser.tab_to(lambda tag: f'id="drain-worker-{name}"' in tag)
    browser.press(Keys.ENTER)
    browser.enter_frame()
    browser.wait_for_text(f"Drain worker {name}?")
    browser.take_picture("ui-confirm")
    assert worker_of(airflow).fields["state"] == "running"
    browser.tab_to(lambda tag: tag.startswith("<button"))
    browser.press(Keys.ENTER)
    browser.enter_frame()
    browser.wait_for_text(f"{name}: draining")
    assert worker_of(airflow).fields["state"] == "draining"
    assert [tuple(row) for row in audit_rows(airflow)] == [
        ("hybrid executor drain worker", "admin", json.dumps({"worker": name}))
    ]
    browser.driver.refresh()
    browser.enter_frame()
    browser.find("#workers tbody tr", text="draining")
    assert f"{name}: draining" not in browser.text()


def test_a_change_is_shown_without_a_reload_and_leaves_the_focus_alone(browser: Browser, airflow: LocalAirflow) -> None:
    name = worker_of(airflow).name
    browser.find("#workers tbody tr", text=name)
    browser.run("window.isSamePage = true; document.querySelector('#workers details summary').click()")
    browser.tab_to(lambda tag: f'id="add-queue-{name}"' in tag)
    from hybrid_executor.operations.workers import choose_workers, resume_workers

    resume_workers(airflow.store, choose_workers(airflow.store, name=name), seconds=60)
    wait_until(lambda: "draining" not in browser.find("#workers tbody").text, what="the page shows that it runs again")
    assert browser.run("return window.isSamePage && document.activeElement.id") == f"add-queue-{name}"
    assert browser.run("return document.querySelector('#workers details').open") is True
    assert browser.run("return document.getElementById('status').textContent") == ""


def test_updates_can_be_paused(browser: Browser) -> None:
    browser.find("#pause").click()
    browser.wait_for_text("Updates are paused.")
    before = browser.find("#schedulers tbody").text
    browser.run("window.asked = performance.getEntriesByType('resource').length")
    wait_until(lambda: browser.run("return performance.now() > 12000"), what="two updates would have come")
    assert browser.run("return performance.getEntriesByType('resource').length === window.asked")
    assert browser.find("#schedulers tbody").text == before
    browser.find("#pause").click()
    wait_until(lambda: browser.find("#schedulers tbody").text != before, what="the page is updated again")


def test_it_looks_like_the_ui_in_light_and_in_dark(browser: Browser) -> None:
    for theme in ("dark", "light"):
        browser.driver.switch_to.default_content()
        browser.run("localStorage.setItem('theme', arguments[0])", theme)
        browser.enter_frame()
        browser.find(f"html[data-theme={theme}]")
        assert faint_texts(browser) == []
    browser.driver.switch_to.default_content()
    browser.run("localStorage.setItem('theme', 'system')")
    browser.enter_frame()
    grounds = []
    for system in ("dark", "light"):
        features = [{"name": "prefers-color-scheme", "value": system}]
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})  # type: ignore[no-untyped-call]
        grounds.append(browser.run("return getComputedStyle(document.body).backgroundColor"))
    assert len(set(grounds)) == 2
    assert browser.run("return document.documentElement.dataset.theme") is None


def test_the_ground_is_that_of_the_ui(browser: Browser) -> None:
    for theme in ("dark", "light"):
        browser.driver.switch_to.default_content()
        browser.run("localStorage.setItem('theme', arguments[0])", theme)
        browser.driver.refresh()
        browser.enter_frame()
        ours = browser.run("return getComputedStyle(document.body).backgroundColor")
        theirs = browser.run("return getComputedStyle(parent.document.documentElement).backgroundColor")
        assert ours == theirs
        if theme == "dark":
            browser.find("#workers tbody tr")
            browser.take_picture("ui-dark")


def test_everything_that_can_be_used_has_a_name_and_shows_the_focus(browser: Browser) -> None:
    browser.driver.refresh()
    browser.enter_frame()
    browser.find("#workers tbody tr")
    nameless = browser.run(
        """return [...document.querySelectorAll('a, button, summary, input:not([type=hidden]), select, [tabindex="0"]')]
        .filter((e) => e.checkVisibility())
        .filter((e) => !(e.textContent.trim() || e.getAttribute('aria-labelledby') || e.labels?.length))
        .map((e) => e.outerHTML)"""
    )
    assert nameless == []
    first = browser.tab_to(bool)
    assert 'class="skip"' in first
    assert browser.run("return document.activeElement.getBoundingClientRect().left >= 0")
    browser.press(Keys.ENTER)
    assert browser.run("return document.activeElement.id") == "main"
    browser.tab_to(lambda tag: tag.startswith("<a"))
    assert browser.run("return parseFloat(getComputedStyle(document.activeElement).outlineWidth)") >= 2


def test_a_narrow_window_scrolls_tables_and_not_the_page(browser: Browser) -> None:
    browser.driver.set_window_size(500, 900)
    try:
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
    finally:
        browser.driver.set_window_size(1280, 900)


def test_it_can_be_read_and_used_without_scripts(browser: Browser, airflow: LocalAirflow) -> None:
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})  # type: ignore[no-untyped-call]
    try:
        browser.driver.switch_to.default_content()
        browser.driver.get(f"{browser.base_url}/hybrid-executor/")
        browser.wait_for_text("Without JavaScript this page is not updated.")
        browser.find("a", text="Add queue").click()
        browser.find("input[name=queue]").send_keys("more")
        browser.find("button").click()
        browser.wait_for_text("queues default,more")
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})  # type: ignore[no-untyped-call]
    assert "more" in worker_of(airflow).fields["queues"]
    assert json.loads(audit_rows(airflow)[-1].extra)["queue"] == "more"


def test_a_frozen_redis_is_said_to_be_silent_and_its_return_too(browser: Browser, airflow: LocalAirflow) -> None:
    name = worker_of(airflow).name
    browser.find("#workers tbody tr", text=name)
    with frozen_redis(airflow):
        browser.wait_for_text("The state of the executor is unknown")
        assert "Check that Redis runs" in browser.text()
        assert "Redis" in browser.find("#status").text
        browser.take_picture("ui-broken")
        health = httpx.get(f"{browser.base_url}/api/v2/monitor/health", timeout=30)
        assert health.status_code == 200
    browser.find("#workers tbody tr", text=name)
    browser.wait_for_text("Updates work again.")


def test_whoever_may_only_read_sees_no_actions(airflow: LocalAirflow, run_id: str) -> None:
    with httpx.Client(base_url=airflow.addresses.base_url, timeout=PATIENCE_SECONDS) as client:
        assert client.get("/hybrid-executor/").status_code == 401
        token = client.post("/auth/token", json={"username": READER, "password": READER}).json()["access_token"]
        answer = client.get("/hybrid-executor/?part=live", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    assert worker_of(airflow).name in answer.text
    assert "confirm?" not in answer.text
