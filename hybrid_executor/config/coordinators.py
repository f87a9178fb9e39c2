"""Pod settings from ``[sdk] coordinators`` and ``queue_to_coordinator``, for queues whose tasks are not Python.

Airflow documents ``extra.pod_template_file``, ``extra.worker_container_repository`` and ``extra.worker_container_tag``
for executors that create pods. The coordinators themselves are not loaded here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hybrid_executor.config.options import ConfigSource, Option

_COORDINATORS = Option(
    section="sdk", name="coordinators", type="json", default="", description="Coordinators by key, as a JSON object."
)
_QUEUES = Option(
    section="sdk", name="queue_to_coordinator", type="json", default="", description="Queues to coordinators' keys."
)
_EXTRAS = ("pod_template_file", "worker_container_repository", "worker_container_tag")


@dataclass(frozen=True, kw_only=True)
class CoordinatorPod:
    """The pod settings of a queue's coordinator; "" for none."""

    template_file: str = ""
    image: str = ""


def read_coordinator_pods(conf: ConfigSource) -> dict[str, CoordinatorPod]:
    """Return the pod settings of coordinators by queue; queues without such settings are left out.

    :raises ConfigError: a value is wrong, or a queue has an unknown coordinator.
    """
    coordinators, queues = _COORDINATORS.read(conf), _QUEUES.read(conf)
    found = {}
    for queue, key in queues.items():
        coordinator = coordinators.get(key)
        if not isinstance(coordinator, dict):
            raise _QUEUES.error(str(key), f"a key of [sdk] coordinators for queue {queue!r}")
        asked = _read_extra(str(key), coordinator.get("extra") or {})
        if asked != CoordinatorPod():
            found[str(queue)] = asked
    return found


def _read_extra(key: str, extra: object) -> CoordinatorPod:
    values = [extra.get(name) or "" for name in _EXTRAS] if isinstance(extra, Mapping) else [None]
    if not all(isinstance(value, str) for value in values):
        raise _COORDINATORS.error(key, f"text values in its extra: {', '.join(_EXTRAS)}")
    template_file, repository, tag = map(str, values)
    if bool(repository) != bool(tag):
        raise _COORDINATORS.error(key, "both worker_container_repository and worker_container_tag, or neither")
    return CoordinatorPod(template_file=template_file, image=f"{repository}:{tag}" if repository else "")
