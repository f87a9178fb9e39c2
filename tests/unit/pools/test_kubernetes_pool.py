"""The Kubernetes pool takes what Airflow can run in a pod."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hybrid_executor.errors import TaskRejected
from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.pools.kubernetes import KubernetesPool
from hybrid_executor.pools.work import Work

TASK = Work(attempt=AttemptId("a"), owner=OwnerId("1"), kind="task", workload_id="ti", queue="kubernetes", payload="{}")


def test_what_pods_cannot_run_is_refused_with_what_to_do() -> None:
    pool = KubernetesPool(kinds=("task",))
    with pytest.raises(TaskRejected, match=r"cannot run a callback: route its queue, 'kubernetes', to celery"):
        pool.prepare(replace(TASK, kind="callback"))
    assert pool.prepare(TASK).pool == "kubernetes"


def test_a_callback_is_taken_where_pods_can_run_it() -> None:
    assert KubernetesPool().prepare(replace(TASK, kind="callback")).fields["kind"] == "callback"
