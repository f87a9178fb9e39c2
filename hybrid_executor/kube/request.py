"""What is asked of one pod: everything that decides how it looks, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hybrid_executor.events import Kind


@dataclass(frozen=True, kw_only=True)
class PodRequest:
    """One launch of one attempt. Never shown with its workload or overrides: they hold a token and may hold secrets.

    :ivar attempt_id: the attempt's identity; with ``launch`` the seed of the pod's name.
    :ivar launch: 0 for the first pod of the attempt, one more for each pod after it.
    :ivar instance: name of this installation; its selector finds only its own pods.
    :ivar queue: the task's queue as the Dag author wrote it.
    :ivar workload_json: the workload, as the pod's entry point wants it.
    :ivar try_number: 0 for workloads that are no tasks.
    :ivar map_index: -1 for tasks that are not mapped.
    :ivar overrides: result of :func:`~hybrid_executor.kube.overrides.normalise_executor_config`.
    :ivar namespace: the profile's namespace, "" for the configured one.
    :ivar pod_template_file: the profile's template, "" for the configured one.
    :ivar pod: the profile's partial pod in the API's spelling.
    :ivar coordinator_template_file: template of the queue's language coordinator; wins over every other template.
    :ivar coordinator_image: image of the queue's coordinator; only executor_config's image wins over it.
    :ivar airflow_version: for the pod's label, "" for none.
    :ivar redis_id: id of the Redis that holds the attempt's record, "" for none: whose pod it is.
    """

    kind: Kind
    attempt_id: str
    instance: str
    queue: str
    workload_json: str = field(repr=False)
    launch: int = 0
    dag_id: str = ""
    task_id: str = ""
    run_id: str = ""
    try_number: int = 0
    map_index: int = -1
    overrides: Mapping[str, Any] = field(default_factory=dict, repr=False)
    namespace: str = ""
    pod_template_file: str = ""
    pod: Mapping[str, Any] = field(default_factory=dict, repr=False)
    coordinator_template_file: str = ""
    coordinator_image: str = ""
    airflow_version: str = ""
    redis_id: str = ""
