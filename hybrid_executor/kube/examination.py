"""What a cluster says of itself, and which credentials it is asked with, for ``airflow hybrid doctor``. Reads only."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import quote

from hybrid_executor.errors import KubeError
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.kube.quantities import quantity

UPSTREAM_PODS = "kubernetes_executor=True"
"""The label of pods that upstream's KubernetesExecutor has created."""


@dataclass(frozen=True, kw_only=True)
class ServerFacts:
    """An API server.

    :ivar version: such as "v1.33.1". :ivar seconds: how long its answer took.
    :ivar clock_ahead_seconds: how far its clock is ahead of this host's; whole seconds.
    """

    host: str
    version: str
    major: int
    minor: int
    seconds: float
    clock_ahead_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Credential:
    """What authenticates requests. Times are seconds since the epoch, ``None`` where it does not say them.

    :ivar is_renewed: the library replaces it in time: an account of a pod, an exec plugin.
    """

    kind: Literal["token", "client certificate", "none"]
    issued_at: float | None = None
    expires_at: float | None = None
    is_renewed: bool = False


@dataclass(frozen=True, kw_only=True)
class Quota:
    """A ResourceQuota: how much of each resource is allowed, and used."""

    name: str
    hard: Mapping[str, Decimal] = field(default_factory=dict)
    used: Mapping[str, Decimal] = field(default_factory=dict)


def read_server(client: KubeClient) -> ServerFacts:
    """Ask for the server's version, which every account may.

    :raises KubeError: it does not answer, or is no Kubernetes API.
    """
    began = time.perf_counter()
    answer = client.ask("GET", "/version", doing="read the version")
    seconds = time.perf_counter() - began
    clock = client.server_time
    ahead = 0.0 if clock is None else clock.timestamp() - datetime.now(timezone.utc).timestamp()
    return ServerFacts(
        host=client.host,
        version=str(answer.get("gitVersion") or "of an unknown version"),
        major=_number(answer.get("major")),
        minor=_number(answer.get("minor")),
        seconds=seconds,
        clock_ahead_seconds=ahead,
    )


def read_credentials(client: KubeClient) -> list[Credential]:
    """Return what this process authenticates itself with.

    :raises KubeUnavailable: credentials could not be renewed.
    """
    renews = bool(getattr(client.transport.credentials, "renews", False))
    found = []
    header = client.transport.credentials().get("authorization", "")
    if header:
        claims = _claims(header.rpartition(" ")[2])
        found.append(
            Credential(kind="token", issued_at=_time(claims, "iat"), expires_at=_time(claims, "exp"), is_renewed=renews)
        )
    file = client.transport.pool.connection_pool_kw.get("cert_file")
    if file:
        found.append(_certificate(str(file)))
    return found or [Credential(kind="none")]


def read_quotas(client: KubeClient, namespace: str) -> list[Quota]:
    """Return the quotas of a namespace.

    :raises KubeError: 403 where this account may not read them.
    """
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}/resourcequotas"
    answer = client.ask("GET", path, doing=f"list quotas of {namespace}")
    return [
        Quota(
            name=item["metadata"]["name"],
            hard=_amounts((item.get("status") or {}).get("hard") or (item.get("spec") or {}).get("hard")),
            used=_amounts((item.get("status") or {}).get("used")),
        )
        for item in answer.get("items") or []
    ]


def has_upstream_pods(client: KubeClient, namespace: str | None) -> bool:
    """Return whether there is a pod of upstream's KubernetesExecutor.

    :raises KubeError: pods could not be listed.
    """
    page = next(client.list_pod_pages(namespace, UPSTREAM_PODS, page_size=1))
    return bool(page.items)


def _number(value: object) -> int:
    """Return a part of a version; managed clusters write "33+"."""
    digits = "".join(sign for sign in str(value) if sign.isdigit())
    return int(digits) if digits else 0


def _claims(token: str) -> Mapping[str, Any]:
    """Return what a JWT says, unverified; nothing for other tokens, which say nothing."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}
    return claims if isinstance(claims, dict) else {}


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    return float(value) if isinstance(value, int | float) else None


def _certificate(path: str) -> Credential:
    from cryptography import x509

    try:
        with open(path, "rb") as file:
            found = x509.load_pem_x509_certificate(file.read())
    except (OSError, ValueError) as error:
        raise KubeError(f"The client certificate {path} cannot be read: {error}") from error
    return Credential(
        kind="client certificate",
        issued_at=found.not_valid_before_utc.timestamp(),
        expires_at=found.not_valid_after_utc.timestamp(),
    )


def _amounts(texts: object) -> dict[str, Decimal]:
    found = {}
    for name, text in texts.items() if isinstance(texts, Mapping) else ():
        try:
            found[str(name)] = quantity(str(text))
        except ValueError:
            continue
    return found
