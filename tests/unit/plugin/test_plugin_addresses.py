"""Addresses in Airflow's UI that the page leads to, and those at which the UI shows the page."""

from __future__ import annotations

from urllib.parse import parse_qs, urljoin, urlsplit

import pytest

from hybrid_executor.plugin.page.addresses import run_page, tab_of_task, task_page
from hybrid_executor.plugin.views import PREFIX, VIEWS

HOSTILE = 'a/b?c=d&e#f "<script>alert(1)</script>%2F..'


@pytest.mark.parametrize("base", ["http://h/", "http://h/team/airflow/"])
def test_addresses_are_below_the_base_url(base: str) -> None:
    page = urljoin(base, f"{PREFIX.removeprefix('/')}/")
    assert urljoin(page, run_page("d", "r")) == f"{base}dags/d/runs/r/plugin/hybrid-executor-run"
    assert urljoin(page, task_page("d", "r", "t", -1)) == f"{base}dags/d/runs/r/tasks/t/plugin/hybrid-executor-task"
    assert urljoin(page, task_page("d", "r", "t", 0)).endswith("/tasks/t/mapped/0/plugin/hybrid-executor-task")


def test_hostile_names_stay_one_part_of_an_address() -> None:
    address = urlsplit(urljoin("http://h/hybrid-executor/", task_page(HOSTILE, HOSTILE, HOSTILE, 3)))
    assert len(address.path.split("/")) == len("/dags/x/runs/x/tasks/x/mapped/3/plugin/y".split("/"))
    assert (address.query, address.fragment) == ("", "")
    assert "<" not in address.path


def test_a_tab_is_told_its_task_whatever_its_name() -> None:
    query = parse_qs(urlsplit(tab_of_task(HOSTILE, "r", "t", 2)).query)
    assert query == {"dag_id": [HOSTILE], "run_id": ["r"], "task_id": ["t"], "map_index": ["2"]}


def test_the_ui_is_told_addresses_that_keep_a_path_in_the_base_url() -> None:
    for view in VIEWS:
        for name in ("href", "icon", "icon_dark_mode"):
            assert urljoin("http://h/team/airflow/", str(view[name])).startswith(f"http://h/team/airflow{PREFIX}/")


def test_each_view_has_an_address_of_its_own_in_the_ui() -> None:
    assert len({view["url_route"] for view in VIEWS}) == len(VIEWS) == 3
    assert {view["destination"] for view in VIEWS} == {"nav", "dag_run", "task_instance"}
