"""What the facts of a Kubernetes cluster mean. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from urllib.parse import urlsplit

from hybrid_executor.doctor.findings import Finding, failure, ok, unknown, warning
from hybrid_executor.kube.examination import Credential, Quota, ServerFacts

SLOW_SECONDS = 1.0
CLOCK_SECONDS = 5.0
"""The API server tells its time in whole seconds."""
OLDEST_MINOR = 27
"""Of Kubernetes 1. Older servers accept strict validation of fields, and do not do it."""
EXPIRES_SOON_SECONDS = 86400.0
NEARLY_USED = Decimal("0.9")
_LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})


def judge_server(facts: ServerFacts) -> Finding:
    """Return where requests lead, and how fast they are."""
    what = f"{facts.host} answers in {facts.seconds * 1000:.0f} ms"
    if facts.seconds > SLOW_SECONDS:
        return warning(
            "reachable",
            f"{what}: more than {SLOW_SECONDS:.0f} s. Each pod takes several calls",
            "look at the load of the API server, and at the network between",
        )
    return ok("reachable", what)


def judge_tls(host: str, *, verifies: bool) -> Finding:
    """Requests carry credentials and the tokens of tasks."""
    parts = urlsplit(host)
    if parts.scheme != "https" and parts.hostname not in _LOCAL:
        return failure("TLS", "no: credentials and tokens of tasks can be read on the way", "use the https address")
    if parts.scheme != "https":
        return ok("TLS", "no, but the server is on this host")
    if not verifies:
        return warning(
            "TLS",
            "yes, but the server's certificate is not checked",
            "set [kubernetes_executor] verify_ssl = True, and ssl_ca_cert to the CA file of the cluster",
        )
    return ok("TLS", "yes, and the server's certificate is checked")


def judge_version(facts: ServerFacts) -> Finding:
    """Compare the version of the server with the oldest that does all we ask for."""
    if not facts.major:
        return unknown("version", facts.version)
    if (facts.major, facts.minor) < (1, OLDEST_MINOR):
        return warning(
            "version",
            f"{facts.version}: before 1.{OLDEST_MINOR}, misspelt fields of pods are not always reported",
            f"use Kubernetes 1.{OLDEST_MINOR} or newer",
        )
    return ok("version", facts.version)


def judge_clock(facts: ServerFacts) -> Finding:
    """Compare the clock of the server with this host's."""
    ahead = facts.clock_ahead_seconds
    what = f"the server's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this host's"
    if abs(ahead) <= CLOCK_SECONDS:
        return ok("clock", what)
    cure = "let both machines set their clocks by NTP"
    return warning("clock", f"{what}: tokens may be refused as expired or not valid yet", cure)


def judge_credential(credential: Credential, *, now: float) -> Finding:
    """Say how old a credential is, and when it expires."""
    name, kind = "credentials", credential.kind
    if kind == "none":
        return warning(
            name,
            "none are sent: the server knows this process as anonymous",
            "write a user with a token, certificate or exec plugin into the kubeconfig",
        )
    age = "" if credential.issued_at is None else f", {_span(now - credential.issued_at)} old"
    cure = f"renew the {kind} in the kubeconfig, or use a service account (in_cluster) or an exec plugin"
    if credential.expires_at is None:
        return ok(name, f"a {kind}{age}, which does not say when it expires")
    left = credential.expires_at - now
    if left <= 0:
        return failure(name, f"the {kind} has expired {_span(-left)} ago", cure)
    what = f"a {kind}{age}, which expires in {_span(left)}"
    if credential.is_renewed:
        return ok(name, f"{what} and is renewed before")
    if left < EXPIRES_SOON_SECONDS:
        return warning(name, f"{what} and is not renewed: then no pod is created or seen", cure)
    return ok(name, what)


def judge_rights(
    missing: Sequence[str], namespace: str | None, *, was_tried: bool, needs_attach: bool = False
) -> Finding:
    """Name the missing verbs of one namespace.

    :param missing: verb and resource of each.
    :param was_tried: reviews are denied, so each verb was used without an effect.
    :param needs_attach: no task starts without the rights on pods/attach.
    """
    where = f"in namespace {namespace}" if namespace else "in all namespaces"
    how = "each was tried, since this account may not ask for a review" if was_tried else "reviewed one by one"
    if not missing:
        return ok("rights", f"all that agents use {where} ({how})")
    kind = "Role" if namespace else "ClusterRole"
    manifest = _manifest_of(missing, needs_attach=needs_attach)
    return failure(
        "rights",
        f"{where} this account may not: {', '.join(missing)} ({how})",
        f"grant them in a {kind} that is bound to the agent's account; {manifest}",
    )


def _manifest_of(missing: Sequence[str], *, needs_attach: bool) -> str:
    if all("pods/attach" in right for right in missing):
        until = "no task starts in a pod ([hybrid_executor] pod_token = stdin)" if needs_attach else ""
        return f"workers/manifests/warm-pods/rbac.yaml has them. Until then {until or 'tasks start without warm pods'}"
    if any("pods/attach" in right for right in missing):
        return "workers/manifests/rbac.yaml has all of them, but warm-pods/rbac.yaml those on pods/attach"
    return "workers/manifests/rbac.yaml has all of them"


def judge_quotas(quotas: Sequence[Quota], namespace: str) -> list[Finding]:
    """Say how much of each quota is left."""
    if not quotas:
        return [ok("quota", f"namespace {namespace} has none")]
    return [_judge_quota(quota, namespace) for quota in quotas]


def quota_unknown(namespace: str) -> Finding:
    """Return what to say where quotas may not be read."""
    return unknown(
        "quota",
        f"this account may not read the quotas of namespace {namespace}",
        "to see them here, grant list on resourcequotas; agents do not need it",
    )


def judge_upstream(has_pods: bool, namespace: str | None) -> Finding:
    """Upstream's executor in the same namespace takes its share of quota and nodes."""
    where = f"namespace {namespace}" if namespace else "the cluster"
    if not has_pods:
        return ok("other executors", f"no pods of upstream's KubernetesExecutor in {where}")
    return warning(
        "other executors",
        f"{where} has pods of upstream's KubernetesExecutor. Neither touches the pods of the other (different labels), "
        "but they share quota and nodes",
        "use another namespace ([kubernetes_executor] namespace, or that of the profile), or end the other executor",
    )


def _judge_quota(quota: Quota, namespace: str) -> Finding:
    shares = {name: _share(quota.used.get(name), limit) for name, limit in quota.hard.items()}
    told = ", ".join(f"{name} {_text(quota.used.get(name))} of {_text(limit)}" for name, limit in quota.hard.items())
    what = f"{quota.name} in namespace {namespace}: {told}"
    cure = "raise the quota, or lower [hybrid_executor] kubernetes_parallelism or the pods' requests"
    if used_up := [name for name, share in shares.items() if share is not None and share >= 1]:
        return failure("quota", f"{what}. No {', '.join(used_up)} left: pods wait until others end", cure)
    if any(share is not None and share >= NEARLY_USED for share in shares.values()):
        return warning("quota", f"{what}. More than {NEARLY_USED:.0%} is used", cure)
    return ok("quota", what)


def _share(used: Decimal | None, limit: Decimal) -> Decimal | None:
    if used is None:
        return None
    return used / limit if limit else Decimal(1)


def _text(amount: Decimal | None) -> str:
    return "?" if amount is None else format(amount.normalize(), "f")


def _span(seconds: float) -> str:
    """Return a time span in its largest unit."""
    span = timedelta(seconds=max(0.0, seconds))
    units: Mapping[str, float] = {"days": 86400, "hours": 3600, "minutes": 60}
    for name, size in units.items():
        if span.total_seconds() >= 2 * size:
            return f"{span.total_seconds() / size:.0f} {name}"
    return f"{span.total_seconds():.0f} s"
