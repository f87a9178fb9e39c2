"""Which namespaces of a cluster are watched from the start. Pure."""

from __future__ import annotations

from hybrid_executor.config import DEFAULT_CLUSTER, Settings
from hybrid_executor.config.kubernetes import KubernetesSettings


def namespaces_to_watch(
    cluster: str, settings: Settings, kubernetes_settings: KubernetesSettings
) -> tuple[str | None, ...]:
    """Return the namespaces that routes lead to in ``cluster``; ``(None,)`` is the whole cluster.

    Those are the configured namespaces and the namespaces of the cluster's profiles. For clusters other than the
    default, the configured ones count only in multi-namespace mode, or for profiles without a namespace.
    """
    configured = kubernetes_settings.watched_namespaces
    if None in configured:
        return (None,)
    profiles = [settings.profile_of(target) for target in settings.routes.targets if target.pool == "kubernetes"]
    of_profiles = [
        profile.namespace or kubernetes_settings.namespace for profile in profiles if profile.cluster == cluster
    ]
    is_default = cluster == DEFAULT_CLUSTER
    shared = configured if is_default else kubernetes_settings.namespace_list if _lists(kubernetes_settings) else ()
    return tuple(dict.fromkeys((*shared, *of_profiles)))


def _lists(kubernetes_settings: KubernetesSettings) -> bool:
    return kubernetes_settings.multi_namespace_mode
