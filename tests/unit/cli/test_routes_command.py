"""``airflow hybrid routes``."""

from __future__ import annotations

from hybrid_executor.cli.routes_command import explain_queues, list_routes
from hybrid_executor.routing import parse_routes

ROUTES = parse_routes("kubernetes=kubernetes, gpu-*=kubernetes:gpu, *=celery", profiles=["gpu"])


def test_each_queue_is_shown_with_the_route_that_decides() -> None:
    assert explain_queues(ROUTES, ["gpu-large", "default"]) == [
        {"queue": "gpu-large", "pool": "kubernetes", "profile": "gpu", "because of": "gpu-*=kubernetes:gpu"},
        {"queue": "default", "pool": "celery", "profile": "", "because of": "*=celery"},
    ]


def test_without_a_queue_all_routes_are_shown_in_the_order_they_are_tried() -> None:
    assert [row["queues"] for row in list_routes(ROUTES)] == ["kubernetes", "gpu-*", "*"]
