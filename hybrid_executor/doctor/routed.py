"""Which Celery queues are known by name, without reading any Dag. Pure."""

from __future__ import annotations

from hybrid_executor.config import ConfigSource, Settings

_WILDCARDS = frozenset("*?[")


def celery_queues(conf: ConfigSource, settings: Settings) -> list[str]:
    """Return the default queue, and the queues of routes without a wildcard, as far as they go to Celery."""
    default = str(conf.get("operators", "default_queue", fallback="default"))
    named = [route.pattern for route in settings.routes.routes if not _WILDCARDS & set(route.pattern)]
    return [queue for queue in dict.fromkeys([default, *named]) if settings.routes.find(queue).reaches("celery")]
