"""Everything that differs between Airflow releases, and all that this project uses inside Airflow's executor base.

Supported: Airflow 3.2 and 3.3, and 3.4 as far as its pre-releases show it. What a release can do is found out from its
classes and attributes, never from its version number. ``hybrid_workers.workload`` does the same on the workers' side.

* ``workloads``: Airflow's workloads, read once into a value of ours.
* ``queues``: where an executor keeps the workloads that wait.
* ``events``: keys of workloads, and the states and events that the scheduler expects for them.
* ``callbacks``: callbacks whose end Airflow does not know.
* ``standing``: how tasks and schedulers stand, for people who ask.
* ``database``: rows of Airflow's database, and workloads made from them.
* ``providers``: what installed providers add to Airflow.
* ``teams``: teams of Dags, and the tasks of an executor in the multi-team mode.
* ``releases``: what the installed release can do.

Does not belong here: any decision about an attempt.
"""

from typing import TYPE_CHECKING

from hybrid_executor.compat.callbacks import CallbackRow, callback_key, read_unfinished_callbacks
from hybrid_executor.compat.database import (
    UNAWAITED,
    UNFINISHED,
    PlannedTask,
    TaskRow,
    is_unawaited,
    make_workloads,
    own_session,
    read_live_schedulers,
    read_planned_tasks,
    read_tasks,
    read_unfinished_tasks,
    task_key,
)
from hybrid_executor.compat.events import (
    describe_key,
    event_key,
    event_states,
    failed_event,
    is_task_key,
    key_in,
    unpack_event,
)
from hybrid_executor.compat.providers import read_providers
from hybrid_executor.compat.queues import (
    check_queues,
    count_queued,
    drop_queued,
    is_queued,
    queued_workloads,
    waiting_workloads,
)
from hybrid_executor.compat.releases import SupportedWorkloads, airflow_version, kinds_in_pods
from hybrid_executor.compat.standing import (
    MISMATCH,
    AuditRow,
    QueuedCount,
    SchedulerRow,
    Standing,
    count_queued_tasks,
    database_trouble,
    find_task_of,
    knows_dag,
    read_audit_rows,
    read_schedulers,
    read_standings,
    unmet_dependencies,
)
from hybrid_executor.compat.teams import all_teams, assigns_ids, create_missing_teams, team_of_dag
from hybrid_executor.compat.workloads import (
    AirflowWorkload,
    Workload,
    is_known,
    key_of,
    kind_of,
    make_example_workload,
    parse_workload,
    queue_of,
    read_workload,
    try_number_of,
    with_changes,
)

if TYPE_CHECKING:
    from airflow.executors.workloads.types import WorkloadKey, WorkloadState

__all__ = [
    "MISMATCH",
    "UNAWAITED",
    "UNFINISHED",
    "AirflowWorkload",
    "AuditRow",
    "CallbackRow",
    "PlannedTask",
    "QueuedCount",
    "SchedulerRow",
    "Standing",
    "SupportedWorkloads",
    "TaskRow",
    "Workload",
    "WorkloadKey",
    "WorkloadState",
    "airflow_version",
    "all_teams",
    "assigns_ids",
    "callback_key",
    "check_queues",
    "count_queued",
    "count_queued_tasks",
    "create_missing_teams",
    "database_trouble",
    "describe_key",
    "drop_queued",
    "event_key",
    "event_states",
    "failed_event",
    "find_task_of",
    "is_known",
    "is_queued",
    "is_task_key",
    "is_unawaited",
    "key_in",
    "key_of",
    "kind_of",
    "kinds_in_pods",
    "knows_dag",
    "make_example_workload",
    "make_workloads",
    "own_session",
    "parse_workload",
    "queue_of",
    "queued_workloads",
    "read_audit_rows",
    "read_live_schedulers",
    "read_planned_tasks",
    "read_providers",
    "read_schedulers",
    "read_standings",
    "read_tasks",
    "read_unfinished_callbacks",
    "read_unfinished_tasks",
    "read_workload",
    "task_key",
    "team_of_dag",
    "try_number_of",
    "unmet_dependencies",
    "unpack_event",
    "waiting_workloads",
    "with_changes",
]
