"""What a pod template of Airflow 2 or of another executor needs to run tasks of Airflow 3 here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hybrid_executor.errors import TaskRejected
from hybrid_executor.kube.findings import findings_of_pod
from hybrid_executor.kube.template import TemplateChoice, read_template
from hybrid_executor.migration.execution_api import VARIABLE
from hybrid_executor.migration.finding import Finding, Kind

_BASE = "base"
_PAGE = "docs/migration.md#pod-templates"
_UPSTREAM_LABELS = ("kubernetes_executor", "airflow-worker", "airflow_executor_done")
_RELEASE = re.compile(r"(?:^|[^\d.])v?(\d+)\.(\d+)(?:\.\d+)?(?=$|[^\d.])")
_PLACEHOLDERS = ("placeholder", "dummy")
_STARTERS = ("tini", "dumb-init", "entrypoint", "/entrypoint", "--", "-s", "-g", "-v")
_OF_SERVERS = {
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "the database",
    "AIRFLOW__CORE__SQL_ALCHEMY_CONN": "the database",
    "AIRFLOW_CONN_AIRFLOW_DB": "the database",
    "AIRFLOW__CELERY__BROKER_URL": "the broker",
    "AIRFLOW__CELERY__RESULT_BACKEND": "the result backend",
}


def check_template(
    path: str, *, option: str, airflow_version: str, dags_folder: str, image: str = "", has_address: bool = False
) -> list[Finding]:
    """Return what has to change in a template file, and what was looked at.

    :param option: the option or Dag that names the file.
    :param airflow_version: the release that the schedulers run.
    :param image: the image of ``worker_container_repository`` and ``worker_container_tag``; "" for the template's.
    :param has_address: the configuration has an address of the API server that pods can use.
    """
    try:
        template = read_template(TemplateChoice(path, option))
    except TaskRejected as error:
        is_missing = "cannot be read" in str(error)
        return [
            Finding(
                kind="check" if is_missing else "change",
                subject=path,
                what=str(error),
                instead="run this command where the file is, or name a copy with --template" if is_missing else "",
                documented=_PAGE,
            )
        ]
    return list(
        _look(
            template,
            path,
            version=airflow_version,
            dags_folder=dags_folder,
            image=image,
            has_address=has_address,
        )
    )


def check_image(image: str, airflow_version: str) -> list[Finding]:
    """Return what has to change in the image of ``worker_container_repository``; nothing for ""."""
    found = _look_at_image(image, airflow_version, is_option=True) if image else ()
    return [
        Finding(kind=kind, subject="pod template", what=what, instead=instead, why=why, documented=_PAGE)
        for kind, what, instead, why in found
    ]


def _look(
    pod: Mapping[str, Any], path: str, *, version: str, dags_folder: str, image: str, has_address: bool
) -> Iterator[Finding]:
    def say(kind: Kind, what: str, instead: str = "", why: str = "") -> Finding:
        return Finding(kind=kind, subject=path, what=what, instead=instead, why=why, documented=_PAGE)

    spec = pod.get("spec") or {}
    containers = spec.get("containers") or []
    base = next((one for one in containers if one.get("name") == _BASE), containers[0] if containers else {})
    if not containers:
        yield say("change", "there is no container", f"write one with the name {_BASE}")
    elif base.get("name") != _BASE:
        yield say(
            "behaviour",
            f"no container is named {_BASE}: the first one, {base.get('name')}, runs the task and gets this name",
        )
    yield from (
        say(*words) for words in _look_at_image(image or str(base.get("image") or ""), version, is_option=bool(image))
    )
    variables = {str(one.get("name")): one for one in base.get("env") or [] if isinstance(one, Mapping)}
    mounts = [str(one.get("mountPath") or "") for one in base.get("volumeMounts") or [] if isinstance(one, Mapping)]
    has_file = any(mount.endswith("airflow.cfg") for mount in mounts)
    if VARIABLE in variables:
        yield say("kept", f"{VARIABLE} is set")
    elif not base.get("envFrom") and not (has_file and has_address):
        yield say(
            "change",
            "pods do not know the address of the API server",
            f"set {VARIABLE} in env of {_BASE}, for example to http://API-SERVER:8080/execution/",
            "tasks of Airflow 3 talk to the API server and not to the database",
        )
    elif base.get("envFrom"):
        yield say("check", f"{VARIABLE} is not in env; envFrom may have it", "make sure that it does")
    else:
        yield say("kept", "the mounted airflow.cfg has the address of the API server")
    for name, server in _OF_SERVERS.items():
        if name in variables:
            yield say("gone", f"{name} is not used", "remove it", f"pods do not connect to {server} any more")
    yield from (say(*words) for words in _look_at_command(base))
    yield from (say(*words) for words in _look_at_labels(pod))
    folder = dags_folder.rstrip("/")
    if any(folder == mount.rstrip("/") or folder.startswith(mount.rstrip("/") + "/") for mount in mounts if mount):
        yield say("kept", f"a volume has the Dags: it is mounted at {folder} or above")
    else:
        yield say(
            "check",
            f"no volume is mounted at {folder}",
            "the image must hold the Dags; otherwise mount a volume or git-sync there",
        )
    for words in findings_of_pod(pod):
        is_harmless = words.startswith("spec.restartPolicy is Always")
        yield say("behaviour" if is_harmless else "check", words)


def _look_at_image(image: str, version: str, *, is_option: bool) -> Iterator[tuple[Kind, str, str, str]]:
    where = "[kubernetes_executor] worker_container_tag" if is_option else f"image of {_BASE}"
    why = "scheduler, workers and pods exchange workloads, whose form belongs to a release of Airflow"
    if not image or any(word in image for word in _PLACEHOLDERS):
        yield (
            "change",
            f"{where} is {image or 'missing'}",
            "write an image with Airflow and your Dags, or set [kubernetes_executor] worker_container_repository and "
            "worker_container_tag",
            "",
        )
        return
    name, _, tag = image.partition("@")[0].rpartition(":")
    is_tag = bool(name) and "/" not in tag
    found = _RELEASE.search(tag) if is_tag else None
    ours = tuple(version.split(".")[:2])
    if found and found.groups() == ours:
        yield "kept", f"{where} is {image}", "", ""
    elif found and ("airflow" in name or found[1] == "2") and int(found[1]) < 100:
        yield (
            "change",
            f"{where} is {image}, which is Airflow {found[1]}.{found[2]} by its tag",
            f"an image with Airflow {version}, the release of the scheduler",
            why,
        )
    else:
        yield (
            "check",
            f"{where} is {image}, whose tag does not say which Airflow it has",
            f"it must have Airflow {version}: docker run --rm --entrypoint airflow {image} version",
            why,
        )


def _look_at_command(base: Mapping[str, Any]) -> Iterator[tuple[Kind, str, str, str]]:
    command = [str(part) for part in base.get("command") or []]
    why = "the executor adds the arguments that start the task"
    if base.get("args"):
        yield "gone", "args are replaced", "remove them", why
    if not command:
        return
    if all(part.rpartition("/")[2] in _STARTERS or part in _STARTERS for part in command):
        yield "kept", f"command {' '.join(command)} runs its arguments", "", ""
    elif command[-1] in ("-c", "-lc", "-ec"):
        yield (
            "change",
            f"command {' '.join(command)} runs only the first word of the task's arguments",
            'remove command, or write one that runs all its arguments, such as ["/entrypoint"]',
            why,
        )
    else:
        yield "check", f"command is {' '.join(command)}", "remove it, unless it runs its arguments", why


def _look_at_labels(pod: Mapping[str, Any]) -> Iterator[tuple[Kind, str, str, str]]:
    metadata = pod.get("metadata") or {}
    labels = metadata.get("labels") or {}
    for name in labels if isinstance(labels, Mapping) else ():
        if name.startswith("hybrid-executor/"):
            yield "gone", f"the label {name} is replaced", "remove it", "agents find their pods by these labels"
        elif name in _UPSTREAM_LABELS:
            yield (
                "change",
                f"the label {name} belongs to Airflow's KubernetesExecutor",
                "remove it",
                "such an executor in the same namespace would take over the pod and delete it",
            )
