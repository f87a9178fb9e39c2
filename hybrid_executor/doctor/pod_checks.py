"""What a pod of a route shows before any is created: its image, and where its task finds Airflow. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from hybrid_executor.doctor.findings import Finding, failure, ok, unknown, warning
from hybrid_executor.kube.manifest import BASE_CONTAINER

API_VARIABLE = "AIRFLOW__CORE__EXECUTION_API_SERVER_URL"
"""The option that tells a task its API server, as a variable of its pod."""
CONFIG_VARIABLE = "AIRFLOW_CONFIG"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})
_VERSION = re.compile(r"(?:^|[^\d.])(\d+\.\d+\.\d+)(?![\d.])")
_SANDBOX = "+hybrid-sandbox"


@dataclass(frozen=True, kw_only=True)
class PodFacts:
    """One pod that would be created.

    :ivar route: that it belongs to.
    :ivar pod: as sent to the cluster.
    :ivar server_version: of the cluster.
    """

    route: str
    pod: Mapping[str, Any]
    server_version: str = ""

    @property
    def base(self) -> Mapping[str, Any]:
        """The container that runs the task."""
        containers = (self.pod.get("spec") or {}).get("containers") or [{}]
        return next((item for item in containers if item.get("name") == BASE_CONTAINER), containers[0])

    @property
    def api_url(self) -> str | None:
        """The address of the execution API that is written in the pod; ``None`` where none is."""
        found = [item.get("value") for item in self.base.get("env") or () if item.get("name") == API_VARIABLE]
        return str(found[-1]) if found and found[-1] is not None else None


def judge_image(facts: PodFacts, airflow_version: str) -> Finding:
    """Say what can be said of an image without running it."""
    name, image = "image", str(facts.base.get("image") or "")
    policy = str(facts.base.get("imagePullPolicy") or "")
    tag, is_digest = tag_of(image)
    what = f"{facts.route}: {image}"
    if policy == "Never":
        return warning(
            name,
            f"{what} with imagePullPolicy Never: a node that does not have it already fails the pod",
            "write imagePullPolicy: IfNotPresent in the pod template, or load the image onto every node",
        )
    if not is_digest and tag in ("", "latest"):
        return warning(
            name,
            f"{what} has {'the tag latest' if tag else 'no tag, which means latest'}: pods of one Dag may get "
            "different images",
            "write a tag that names one build, such as the version of Airflow, or a digest",
        )
    told = _VERSION.search(tag)
    if told is None or "airflow" not in image.rpartition(":")[0].lower() or "hybrid-executor" in image:
        return ok(name, f"{what}; which Airflow is inside shows only when it runs (here: {airflow_version})")
    if told[1] != airflow_version:
        return warning(
            name,
            f"{what} is Airflow {told[1]} by its tag, and this process is {airflow_version}",
            "use an image of the same version, in the pod template or with [kubernetes_executor] worker_container_tag",
        )
    return ok(name, f"{what}, the same version of Airflow by its tag")


def judge_api_address(facts: PodFacts) -> Finding:
    """A task in a pod asks Airflow's API server, at an address that its pod must know."""
    name, url = "execution API", facts.api_url
    cure = (
        f"write the variable {API_VARIABLE} into the pod template's container base, with an address that is valid in "
        "a pod, such as http://airflow-api-server.airflow.svc:8080/execution/"
    )
    if facts.server_version.endswith(_SANDBOX):
        return ok(name, f"{facts.route}: pods of the sandbox get it with the environment of this machine")
    if url is not None:
        host = urlsplit(url).hostname or ""
        if host in LOOPBACK:
            return failure(name, f"{facts.route}: {url} is the pod itself, so no task can start", cure)
        return ok(name, f"{facts.route}: {url}")
    if source := _other_source(facts.base):
        return unknown(name, f"{facts.route}: pods may get its address from {source}, which is not read here", cure)
    return warning(
        name,
        f"{facts.route}: the pod does not name its address. Unless the image does, tasks ask "
        "http://localhost:8080/execution/, which is the pod itself, and fail",
        cure,
    )


def tag_of(image: str) -> tuple[str, bool]:
    """Return an image's tag, "" for none, and whether it is pinned by a digest."""
    named, at, _ = image.partition("@")
    last = named.rpartition("/")[2]
    return last.partition(":")[2], bool(at)


def _other_source(base: Mapping[str, Any]) -> str:
    """Return from where a container may get Airflow's configuration otherwise, "" for nowhere."""
    for item in base.get("env") or ():
        if item.get("name") == API_VARIABLE and item.get("valueFrom"):
            return "a reference (valueFrom)"
        if item.get("name") == CONFIG_VARIABLE:
            return f"the file of {CONFIG_VARIABLE}"
    for source in base.get("envFrom") or ():
        for kind in ("configMapRef", "secretRef"):
            if kind in source:
                return f"{kind.removesuffix('Ref')} {source[kind].get('name', '')}"
    for mount in base.get("volumeMounts") or ():
        if str(mount.get("mountPath") or "").endswith("airflow.cfg"):
            return f"the mounted file {mount['mountPath']}"
    return ""
