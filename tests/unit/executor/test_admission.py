"""Which target a workload may have: the first of its route that has a slot and a place, and takes such work at all."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from hybrid_executor.executor.admission import Asking, Room
from hybrid_executor.routing import parse_routes

ROUTES = parse_routes(
    "etl-*=celery(max=2) > kubernetes:spot(tries=2, max=3) > kubernetes, reports=celery(served) > kubernetes, *=celery",
    profiles=["spot"],
)
PLENTY = {"celery": 100, "kubernetes": 100}


def take(room: Room, queue: str, *, try_number: int = 1) -> str:
    target = room.take(ROUTES.find(queue), queue=queue, try_number=try_number)
    return target.name if target is not None else ""


def test_a_full_pool_is_passed_over() -> None:
    room = Room({"celery": 1, "kubernetes": 1})
    assert [take(room, queue) for queue in ("a", "b", "reports", "reports")] == ["celery", "", "kubernetes", ""]
    assert room.slots == 0


def test_what_finds_no_place_on_a_target_goes_to_the_next() -> None:
    room = Room(PLENTY, counts={"etl-*>celery": 1, "etl-*>kubernetes:spot": 2})
    assert [take(room, "etl-1") for _ in range(4)] == ["celery", "kubernetes:spot", "kubernetes", "kubernetes"]


def test_the_places_of_one_route_are_not_those_of_another() -> None:
    room = Room(PLENTY, counts={"etl-*>celery": 2})
    assert take(room, "etl-1") == "kubernetes:spot"
    assert take(room, "a") == "celery"


def test_a_full_last_target_lets_work_wait() -> None:
    routes = parse_routes("*=celery(max=1) > kubernetes(max=1)", profiles=[])
    room = Room(PLENTY)
    taken = [room.take(routes.find("a"), queue="a") for _ in range(3)]
    assert [target.name if target else "" for target in taken] == ["celery", "kubernetes", ""]


def test_later_tries_of_a_task_go_on() -> None:
    room = Room(PLENTY, counts={"etl-*>celery": 2})
    assert [take(room, "etl-1", try_number=number) for number in (1, 2, 3)] == [
        "kubernetes:spot",
        "kubernetes:spot",
        "kubernetes",
    ]


def test_a_target_that_is_to_be_served_is_skipped_without_a_worker() -> None:
    assert take(Room(PLENTY, serves=lambda queue: queue == "reports"), "reports") == "celery"
    room = Room(PLENTY, serves=lambda _: False)
    assert take(room, "reports") == "kubernetes"
    assert take(room, "a") == "celery"


def test_a_move_within_a_full_pool_uses_the_slot_that_it_gives_back() -> None:
    room = Room({"celery": 0, "kubernetes": 0}, counts={"etl-*>kubernetes:spot": 3})
    route = ROUTES.find("etl-1")
    spot = route.targets[1]
    for _ in range(3):
        target = room.move(route, spot, targets=route.after(spot.name), queue="etl-1", try_number=1)
        assert target is not None
        assert target.name == "kubernetes"
    assert room.slots == 0


def test_a_move_without_a_place_gives_nothing_back() -> None:
    routes = parse_routes("*=celery(wait=1s) > kubernetes(max=1)", profiles=[])
    room, route = Room({"celery": 0, "kubernetes": 5}, counts={"*>kubernetes": 1}), routes.find("a")
    assert room.move(route, route.targets[0], targets=route.targets[1:], queue="a", try_number=1) is None
    assert room.slots == 5


def test_many_take_what_each_by_itself_would_take() -> None:
    for queue, count in (("a", 7), ("etl-1", 12), ("reports", 3)):
        one_by_one, at_once = (Room({"celery": 5, "kubernetes": 2}, counts={"etl-*>celery": 1}) for _ in range(2))
        for _ in range(count):
            take(one_by_one, queue)
        at_once.fill(ROUTES.find(queue), queue=queue, try_number=1, count=count)
        assert at_once.slots == one_by_one.slots, queue


def callback(queue: str) -> Any:
    from airflow.executors.workloads import ExecuteCallback

    data = {"path": "os.getcwd", "kwargs": {}, "queue": queue}
    told = {
        "type": "ExecuteCallback",
        "token": "t",
        "dag_rel_path": "dag.py",
        "bundle_info": {"name": "dags", "version": None},
        "log_path": None,
        "callback": {"id": str(uuid.uuid4()), "fetch_method": "import_path", "data": data},
    }
    return ExecuteCallback.model_validate_json(json.dumps(told))


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (("task", "callback"), ["kubernetes", "celery", "kubernetes"]),
        # Airflow 3.2: a callback waits for a worker, which an autoscaler starts for it.
        (("task",), ["celery", "celery", "kubernetes"]),
    ],
)
def test_work_that_pods_cannot_run_goes_to_workers_where_its_route_has_any(
    kinds: tuple[Any, ...], expected: list[str]
) -> None:
    routes = parse_routes("reports=celery(served) > kubernetes, pods=kubernetes, *=celery", profiles=[])
    asking = Asking(Room(PLENTY, serves=lambda _: False), routes, default_queue="other", kinds_in_pods=kinds)
    taken = [asking.ask(callback(queue)) for queue in ("reports", "", "pods")]
    # What has no other target is refused when it is prepared, with the reason.
    assert [target.name if target else "" for target in taken] == expected
