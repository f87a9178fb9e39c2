"""A task gets its own Dag of a file alone only where nobody can notice that the others are left out."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from airflow import settings
from airflow.policies import hookimpl
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, BaseOperator

from hybrid_workers.parsed import surroundings
from hybrid_workers.parsed.alone import may_be_alone
from tests.waiting import wait_until


class Prepares(BaseOperator):
    """Does something when its Dag is taken into a bag."""

    def prepare_template(self) -> None:
        """Say so."""
        print("prepared")


def make_dag(name: str, *makes: Callable[..., Any]) -> DAG:
    with DAG(name, schedule=None) as dag:
        tasks = [make(task_id=f"t{number}") for number, make in enumerate(makes)]
    assert len(tasks) == len(makes)
    return dag


@contextmanager
def policy() -> Iterator[None]:
    class Policy:
        @hookimpl  # type: ignore[untyped-decorator]
        def task_policy(self, task: Any) -> None:
            """See each task."""

    plugins = settings.get_policy_plugin_manager()
    one = Policy()
    plugins.register(one)
    yield
    plugins.unregister(one)


def test_dags_whose_tasks_ask_for_nothing_are_left_out_unless_a_policy_wants_to_see_them() -> None:
    dags = [make_dag("a", EmptyOperator), make_dag("b", EmptyOperator, EmptyOperator)]
    assert may_be_alone(dags)
    with policy():
        assert not may_be_alone(dags)
    assert may_be_alone(dags)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda task_id: BashOperator(task_id=task_id, bash_command="a.sh"), id="reads a template"),
        pytest.param(lambda task_id: EmptyOperator(task_id=task_id, executor="other"), id="names an executor"),
        pytest.param(lambda task_id: Prepares(task_id=task_id), id="prepares a template"),
    ],
)
def test_a_task_for_which_airflow_does_something_keeps_all_dags_together(make: Callable[..., Any]) -> None:
    assert not may_be_alone([make_dag("a", EmptyOperator), make_dag("b", make)])


def test_two_dags_of_one_name_are_kept_together() -> None:
    assert not may_be_alone([make_dag("a", EmptyOperator), make_dag("a", EmptyOperator)])


def test_a_thread_of_a_library_counts_and_that_of_jemalloc_does_not() -> None:
    before = surroundings.count_threads()
    library, thread = ctypes.CDLL(None), ctypes.c_ulong()
    library.pthread_create(ctypes.byref(thread), None, library.sleep, 1)
    assert surroundings.count_threads() == before + 1
    assert library.pthread_setname_np(thread, b"jemalloc_bg_thd") == 0
    assert surroundings.count_threads() == before
    library.pthread_join(thread, None)
    wait_until(lambda: surroundings.count_threads() == before, what="the thread is gone")
