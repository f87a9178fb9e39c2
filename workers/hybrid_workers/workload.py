"""A message's workload: read it, describe it, run it with Airflow. Never shows its JSON, which holds a token.

What differs between Airflow releases on the workers' side is here and nowhere else in this package, each time found by
asking for the newer release's way first.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, cast

from hybrid_executor.errors import TaskRejected
from hybrid_workers import numpy_chance

if TYPE_CHECKING:
    from airflow.executors.workloads import ExecuteCallback, ExecuteTask

    from hybrid_executor.compat import Workload
    from hybrid_executor.compat.workloads import AirflowWorkload

log = logging.getLogger(__name__)


def parse_workload(payload: object) -> Workload:
    """Return the workload that a message holds.

    :raises TaskRejected: it holds none; the error's message says what is wrong without showing the JSON.
    """
    from pydantic import ValidationError

    from hybrid_executor import compat

    if not isinstance(payload, str):
        raise TaskRejected(f"The message holds no workload, but a {type(payload).__name__}")
    try:
        workload = _decoder().validate_json(payload)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False, include_context=False)
        first = problems[0]
        place = ".".join(str(part) for part in first["loc"])
        if first["type"] == "json_invalid":
            raise TaskRejected("The message's workload is not JSON") from None
        raise TaskRejected(
            f"This Airflow does not know the message's workload ({place or 'workload'}: {first['type']}); do "
            "scheduler and worker run the same Airflow release?"
        ) from None
    return compat.read_workload(workload)


def run_with_airflow(workload: AirflowWorkload, *, logs_to_stdout: bool = False) -> int:
    """Run a workload as this release's own executors do and wait for it; return the exit code of its process.

    Airflow 3.2 runs callbacks in the process that is asked to.

    :param logs_to_stdout: show the task's log in the worker's output too.
    :raises RuntimeError: a callback failed in this very process.
    """
    from airflow.executors.base_executor import BaseExecutor

    numpy_chance.reseed()
    run: Callable[..., int] = getattr(BaseExecutor, "run_workload", _run_with_airflow_3_2)
    return int(run(workload, subprocess_logs_to_stdout=logs_to_stdout))


def _run_with_airflow_3_2(workload: AirflowWorkload, *, subprocess_logs_to_stdout: bool) -> int:
    """Do what ``BaseExecutor.run_workload`` does from 3.3 on, as 3.2's LocalExecutor does it."""
    from airflow.executors import workloads

    if isinstance(workload, workloads.ExecuteCallback):
        return _run_callback_here(workload)
    from airflow.configuration import conf
    from airflow.sdk.execution_time.supervisor import supervise

    base_url = str(conf.get("api", "base_url", fallback="/"))
    host = "http://localhost:8080" if base_url.startswith("/") else ""
    task = cast("ExecuteTask", workload)
    supervise_task: Any = supervise
    return int(
        supervise_task(
            ti=task.ti,
            dag_rel_path=task.dag_rel_path,
            bundle_info=task.bundle_info,
            token=task.token,
            server=conf.get("core", "execution_api_server_url", fallback=f"{host}{base_url.rstrip('/')}/execution/"),
            log_path=task.log_path,
            subprocess_logs_to_stdout=subprocess_logs_to_stdout,
            sentry_integration=task.sentry_integration,
        )
    )


def _run_callback_here(workload: ExecuteCallback) -> int:
    from airflow.executors.workloads import callback

    execute: Any = callback.execute_callback_workload  # type: ignore[attr-defined]  # only 3.2 has it
    is_success, message = execute(workload.callback, log)
    if not is_success:
        raise RuntimeError(message or "Callback execution failed")
    return 0


@cache
def _decoder() -> Any:
    from airflow.executors import workloads
    from pydantic import Field, TypeAdapter

    known: Any = Annotated[workloads.ExecuteTask | workloads.ExecuteCallback, Field(discriminator="type")]
    # Airflow 3.2 has no name for what executors get, only one that includes triggers.
    return TypeAdapter(getattr(workloads, "ExecutorWorkload", known))
