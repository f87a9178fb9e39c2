"""Our messages are Celery's: the same fields as a stock sender's, and a stock worker runs them."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis

from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.pools.celery_message import build_message
from tests.waiting import PATIENCE_SECONDS, wait_until

ATTEMPT = AttemptId("0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000")
WORKLOAD = json.dumps({"token": 'se"cret', "ti": {"dag_id": "d\u00e4g"}})


def ours(queue: str = "default") -> dict[str, Any]:
    message: dict[str, Any] = json.loads(
        build_message(ATTEMPT, WORKLOAD, queue=queue, owner=OwnerId("1"), instance="airflow", generation=1)
    )
    return message


@pytest.fixture
def stock(redis_url: str) -> dict[str, Any]:
    """The message that a stock Celery sender puts on the list for the same task."""
    from celery import Celery  # type: ignore[import-untyped]

    app: Any = Celery("stock", broker=redis_url, set_as_current=False)
    app.conf.task_ignore_result = True
    app.send_task("execute_workload", args=(WORKLOAD,), task_id=ATTEMPT, queue="default", ignore_result=True)
    app.close()
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        [text] = client.lrange("default", 0, -1)
    message: dict[str, Any] = json.loads(text)
    return message


def test_body_and_encoding_are_those_of_a_stock_sender(stock: dict[str, Any]) -> None:
    made = ours()
    assert json.loads(base64.b64decode(made["body"])) == json.loads(base64.b64decode(stock["body"]))
    for name in ("content-type", "content-encoding"):
        assert made[name] == stock[name]
    assert set(made) == set(stock)


def test_headers_are_those_of_a_stock_sender_but_for_what_would_show_the_token(stock: dict[str, Any]) -> None:
    made = ours()["headers"]
    assert set(made) == set(stock["headers"]) | {"hybrid"}
    different = {name for name in stock["headers"] if made[name] != stock["headers"][name]}
    assert different == {"argsrepr", "origin"}


def test_properties_are_those_of_a_stock_sender_but_for_names_made_at_random(stock: dict[str, Any]) -> None:
    made = ours()["properties"]
    assert set(made) == set(stock["properties"])
    different = {name for name in stock["properties"] if made[name] != stock["properties"][name]}
    assert different == {"reply_to", "delivery_tag"}


@pytest.mark.parametrize(
    ("queue", "priority", "key"),
    [
        ("some-queue", 0, "some-queue"),
        ("R\u00fcckstand: t\u00e4glich/100%", 0, "R\u00fcckstand: t\u00e4glich/100%"),
        ("some-queue", 6, "some-queue\x06\x166"),
    ],
)
def test_a_stock_worker_runs_our_message(redis_url: str, tmp_path: Path, queue: str, priority: int, key: str) -> None:
    output, log = tmp_path / "output", tmp_path / "log"
    command = [sys.executable, "-m", "celery", "-A", "tests.contract.stock_app", "worker"]
    message = ours(queue)
    message["properties"]["priority"] = priority
    with redis.Redis.from_url(redis_url) as client:
        client.lpush(key, json.dumps(message))
        with log.open("wb") as file:
            worker = subprocess.Popen(
                [*command, "-P", "solo", "-Q", queue, "--without-mingle", "--without-gossip"],
                env={**os.environ, "STOCK_BROKER": redis_url, "STOCK_OUTPUT": str(output)},
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_until(lambda: output.exists() and client.hlen("unacked") == 0, what=log.read_text)
        finally:
            worker.terminate()
            worker.wait(PATIENCE_SECONDS)
    assert output.read_text(encoding="utf-8") == WORKLOAD
