"""A message's workload: read it, say what it is, run it with Airflow. Never shows its text, which holds a token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from hybrid_executor.errors import TaskRejected


@dataclass(frozen=True)
class Workload:
    """A workload, read.

    :ivar airflow: Airflow's own model of it.
    :ivar fields: what its record says of it.
    """

    airflow: Any = field(repr=False)
    fields: Mapping[str, str | int]


def parse_workload(text: object) -> Workload:
    """Return the workload that a message holds.

    :raises TaskRejected: it holds none; the message says what is wrong without showing the text.
    """
    from pydantic import ValidationError

    from hybrid_executor import compat

    if not isinstance(text, str):
        raise TaskRejected(f"The message holds no workload but a {type(text).__name__}")
    try:
        workload = _decoder().validate_json(text)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False, include_context=False)
        first = problems[0]
        place = ".".join(str(part) for part in first["loc"])
        if first["type"] == "json_invalid":
            raise TaskRejected("The message's workload is not JSON") from None
        raise TaskRejected(
            f"The message's workload is none that this Airflow knows ({place or 'workload'}: {first['type']}); do "
            "scheduler and worker run the same Airflow release?"
        ) from None
    return Workload(workload, compat.describe(workload))


def run_with_airflow(workload: Any, *, logs_to_stdout: bool = False) -> int:
    """Run a workload in a process of its own and wait for it; return that process's exit code.

    :param logs_to_stdout: show the task's log in the worker's output too.
    """
    from airflow.executors.base_executor import BaseExecutor

    return int(BaseExecutor.run_workload(workload, subprocess_logs_to_stdout=logs_to_stdout))


@cache
def _decoder() -> Any:
    from airflow.executors.workloads import ExecutorWorkload
    from pydantic import TypeAdapter

    return TypeAdapter(ExecutorWorkload)
