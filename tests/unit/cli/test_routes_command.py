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


def test_a_route_of_several_targets_is_shown_with_the_whole_chain() -> None:
    routes = parse_routes("etl-*=celery(max=2, wait=20s) > kubernetes:spot > kubernetes, *=celery", profiles=["spot"])
    rows = explain_queues(routes, ["etl-1"])
    assert [(row["queue"], row["pool"], row["profile"], row["conditions"]) for row in rows] == [
        ("etl-1", "celery", "", "max=2, wait=20s"),
        ("etl-1", "kubernetes", "spot", ""),
        ("etl-1", "kubernetes", "", ""),
    ]
    assert {row["because of"] for row in rows} == {"etl-*=celery(max=2, wait=20s) > kubernetes:spot > kubernetes"}
    assert [row["queues"] for row in list_routes(routes)] == ["etl-*", "etl-*", "etl-*", "*"]
