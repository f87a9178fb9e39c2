"""The node of a sandbox: its resources, and which pods fit on it. Pure."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from hybrid_executor.kube.quantities import quantity
from hybrid_executor.sandbox.objects import Object

UNREACHABLE_TAINT = "node.kubernetes.io/unreachable"
MISSING_IMAGES = (r":does-not-exist$", r"^missing\.invalid/")

PATH_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
DOMAIN = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
IMAGE_REFERENCE = re.compile(
    rf"(?:{DOMAIN}/)?{PATH_COMPONENT}(?:/{PATH_COMPONENT})*(?::[\w][\w.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?"
)

SELECTOR_MISMATCH = "node(s) didn't match Pod's node affinity/selector"


@dataclass(frozen=True)
class NodeSettings:
    """The node and how its kubelet behaves.

    :ivar pod_capacity: how many pods run at the same time; others wait, first come, first served.
    :ivar allocatable: what pods may request in sum. Of extended resources (with a "/") that are not named there are
        none; native ones that are not named are not counted.
    :ivar labels: what nodeSelectors are held against; None accepts every nodeSelector.
    :ivar image_environment: what every image sets, by default this process' own environment.
    :ivar missing_images: regular expressions of images that no registry has.
    :ivar failing_images: regular expressions of images whose registry fails each time.
    :ivar start_delay_seconds: how long a pod stays in ContainerCreating.
    :ivar final_delay_seconds: how long a pod whose containers have ended is reported with the phase that it had before.
    :ivar restart_backoff_seconds: first pause before a container is restarted; doubles up to the maximum.
    :ivar pull_backoff_seconds: the same for pulling an image.
    """

    name: str = "sandbox-node"
    ip: str = "127.0.0.1"
    pod_capacity: int = 16
    allocatable: Mapping[str, str] = field(
        default_factory=lambda: {"cpu": "256", "memory": "1Ti", "nvidia.com/gpu": "8"}
    )
    labels: Mapping[str, str] | None = None
    image_environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    missing_images: tuple[str, ...] = MISSING_IMAGES
    failing_images: tuple[str, ...] = ()
    start_delay_seconds: float = 0.0
    final_delay_seconds: float = 0.1
    restart_backoff_seconds: float = 0.5
    pull_backoff_seconds: float = 0.5
    maximum_backoff_seconds: float = 30.0

    def pull_error(self, image: str) -> str:
        """Return why the image cannot be pulled, in the words of a container runtime; "" if it can."""
        if _is_among(image, self.missing_images):
            why = f"{image}: not found"
        elif _is_among(image, self.failing_images):
            why = f"unexpected status from HEAD request to {_manifest_url(image)}: 503 Service Unavailable"
        else:
            return ""
        return f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": {why}'


def _is_among(image: str, patterns: Iterable[str]) -> bool:
    return any(re.search(pattern, image) for pattern in patterns)


def _manifest_url(image: str) -> str:
    """Return where a container runtime asks for the image."""
    first, slash, rest = image.partition("/")
    has_registry = bool(slash) and (first == "localhost" or "." in first or ":" in first)
    registry, path = (first, rest) if has_registry else ("registry-1.docker.io", image)
    name, is_digest, reference = path.partition("@")
    if not is_digest:
        name, _, reference = path.partition(":")
    if not has_registry and "/" not in name:
        name = f"library/{name}"
    return f"https://{registry}/v2/{name}/manifests/{reference or 'latest'}"


def is_image_reference(image: str) -> bool:
    """Whether the text can be an image's name."""
    return IMAGE_REFERENCE.fullmatch(image) is not None


def requests_of(pod: Object) -> dict[str, Decimal]:
    """Return what the pod requests: the sum of its containers, or of one init container where that is more."""
    total: dict[str, Decimal] = {}
    for container in pod["spec"]["containers"]:
        for name, amount in _requests(container).items():
            total[name] = total.get(name, Decimal(0)) + amount
    for container in pod["spec"].get("initContainers", []):
        for name, amount in _requests(container).items():
            total[name] = max(total.get(name, Decimal(0)), amount)
    return total


def _requests(container: Object) -> dict[str, Decimal]:
    requests = (container.get("resources") or {}).get("requests") or {}
    return {name: quantity(amount) for name, amount in requests.items()}


def why_unschedulable(pod: Object, node: NodeSettings, running: Iterable[Object], *, is_lost: bool = False) -> str:
    """Return the scheduler's words for why the pod does not fit beside those that run, "" if it does."""
    if is_lost:
        return f"node(s) had untolerated taint {{{UNREACHABLE_TAINT}: }}"
    selector = pod["spec"].get("nodeSelector") or {}
    labels = node.labels
    if labels is not None and any(labels.get(key) != value for key, value in selector.items()):
        return SELECTOR_MISMATCH
    others = list(running)
    if len(others) >= node.pod_capacity:
        return "Too many pods"
    for name, asked in requests_of(pod).items():
        if name not in node.allocatable and "/" not in name:
            continue
        used = sum((requests_of(other).get(name, Decimal(0)) for other in others), Decimal(0))
        if used + asked > quantity(node.allocatable.get(name, "0")):
            return f"Insufficient {name}"
    return ""


def unschedulable_message(why: str) -> str:
    """Return the message of the PodScheduled condition and of the FailedScheduling event."""
    helps = why == "Too many pods" or why.startswith("Insufficient")
    preemption = "No preemption victims found for incoming pod" if helps else "Preemption is not helpful for scheduling"
    return f"0/1 nodes are available: 1 {why}. preemption: 0/1 nodes are available: 1 {preemption}."
