"""Everything that decides how one pod looks, as one value."""

from __future__ import annotations

from dataclasses import dataclass, field

from hybrid_executor.events import Kind
from hybrid_executor.kube.overrides import NO_OVERRIDES, Overrides


@dataclass(frozen=True, kw_only=True)
class PodRequest:
    """One launch of one attempt. Its payload and overrides are not shown: they hold a token and may hold secrets.

    :ivar attempt_id: the attempt's identity; with ``launch`` the seed of the pod's name.
    :ivar launch: 0 for the first pod of the attempt, one more for each pod after it.
    :ivar moves: how many of its launches were moves from another target.
    :ivar instance: name of this installation; its selector matches only its own pods.
    :ivar queue: the task's queue as the Dag author wrote it.
    :ivar payload: the workload as JSON, as the pod's entry point wants it.
    :ivar try_number: 0 for workloads that are no tasks.
    :ivar map_index: -1 for tasks that are not mapped.
    :ivar overrides: from the task's executor_config.
    :ivar profile_overrides: from the queue's profile.
    :ivar namespace: the profile's namespace, "" for the configured one.
    :ivar coordinator_template_file: template of the queue's language coordinator; wins over every other template.
    :ivar coordinator_image: image of the queue's coordinator; only executor_config's image wins over it.
    :ivar airflow_version: for the pod's label, "" for none.
    :ivar redis_id: id of the Redis that holds the attempt's record, "" for none. It tells whose pod this is.
    """

    kind: Kind
    attempt_id: str
    instance: str
    queue: str
    payload: str = field(repr=False)
    launch: int = 0
    moves: int = 0
    dag_id: str = ""
    task_id: str = ""
    run_id: str = ""
    try_number: int = 0
    map_index: int = -1
    overrides: Overrides = NO_OVERRIDES
    profile_overrides: Overrides = NO_OVERRIDES
    namespace: str = ""
    coordinator_template_file: str = ""
    coordinator_image: str = ""
    airflow_version: str = ""
    redis_id: str = ""
