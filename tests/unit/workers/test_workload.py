"""What of a message's text is a workload for a worker."""

from __future__ import annotations

import json

import pytest

from hybrid_executor.errors import TaskRejected
from hybrid_workers.workload import parse_workload
from tests.unit.workers.conftest import workload_text


def test_a_callback_is_read_and_described() -> None:
    workload = parse_workload(workload_text())
    assert workload.airflow.callback.id == "callback-id"
    assert (workload.fields["kind"], workload.fields["key"]) == ("callback", "callback-id")


def test_a_trigger_is_not_for_workers_though_airflow_counts_it_among_workloads() -> None:
    trigger = {"type": "RunTrigger", "id": 1, "ti": None, "classpath": "a.B", "encrypted_kwargs": "secret-token"}
    with pytest.raises(TaskRejected, match="does not know the message's workload") as caught:
        parse_workload(json.dumps(trigger))
    assert "secret-token" not in str(caught.value)
