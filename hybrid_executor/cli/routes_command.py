"""``airflow hybrid routes``: the pool of each queue and the route that decides. Needs only the configuration."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from hybrid_executor.cli.output import output_of
from hybrid_executor.cli.plainly import plainly
from hybrid_executor.config import airflow_config
from hybrid_executor.config.shape import read_configured_settings
from hybrid_executor.routing import Routes


@plainly
def routes(args: Namespace) -> None:
    """Show all routes, or the routes of the given queues."""
    conf = airflow_config()
    settings = read_configured_settings(conf)
    rows = explain_queues(settings.routes, args.queues) if args.queues else list_routes(settings.routes)
    output_of(args).rows(rows, list(rows[0]))


def explain_queues(routes: Routes, queues: Sequence[str]) -> list[dict[str, Any]]:
    """Return pool and profile of each queue, with the route that decides: the first one that matches."""
    found = [(queue, routes.find(queue)) for queue in queues]
    return [
        {"queue": queue, "pool": route.pool, "profile": route.profile, "because of": str(route)}
        for queue, route in found
    ]


def list_routes(routes: Routes) -> list[dict[str, Any]]:
    """Return the routes in the order in which they are tried."""
    return [
        {"queues": route.pattern, "pool": route.pool, "profile": route.profile, "because of": str(route)}
        for route in routes.routes
    ]
