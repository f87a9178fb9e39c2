"""Every answer that a cluster gives to the creation of a pod, and what becomes of its task.

All rows run side by side, each in a namespace of its own; each test looks at one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import redis

from hybrid_executor.events import AttemptId
from hybrid_executor.states import State
from hybrid_executor.store import Record
from tests.conftest import RedisServer
from tests.faulty_sandbox import Fault

from .conftest import World


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the cluster answers first; after ``times`` it takes the pod.

    :ivar creations: how often a pod is tried to be created in all.
    :ivar at_least_seconds: from submission to the pod.
    """

    name: str
    code: int = 0
    reason: str = ""
    message: str = ""
    action: str = "status"
    times: int | None = 1
    retry_after_seconds: int | None = None
    state: State = State.SUCCEEDED
    words: str = ""
    creations: int = 2
    at_least_seconds: float = 0.5


FORBIDDEN = 'pods "x" is forbidden: '
ANSWERS = [
    Answer(name="throttled", code=429, retry_after_seconds=1, at_least_seconds=1.0),
    Answer(name="server-error", code=500),
    Answer(name="bad-gateway", code=502),
    Answer(name="unavailable", code=503),
    Answer(name="timeout", code=504),
    Answer(name="modified", code=409, reason="Conflict", message="the object has been modified"),
    Answer(name="too-old", code=410),
    Answer(name="token-expired", code=401, reason="Unauthorized", message="Unauthorized", at_least_seconds=0.0),
    Answer(name="reset", action="drop"),
    Answer(name="reply-lost", action="lose_reply", creations=1, at_least_seconds=0.0),
    Answer(name="quota-full", code=403, reason="Forbidden", message=f"{FORBIDDEN}exceeded quota: q, used: pods=1"),
    Answer(
        name="ending",
        code=403,
        reason="Forbidden",
        message=f"{FORBIDDEN}unable to create new content in namespace ending because it is being terminated",
    ),
    Answer(name="not-ready", code=403, reason="Forbidden", message=f"{FORBIDDEN}not yet ready to handle request"),
    Answer(
        name="invalid",
        code=422,
        reason="Invalid",
        message='Pod "x" is invalid: spec.containers[0].image: Required value',
        times=None,
        state=State.FAILED,
        words="fix its template, profile or executor_config",
        creations=1,
    ),
    Answer(
        name="admission",
        code=403,
        reason="Forbidden",
        message=f"{FORBIDDEN}violates PodSecurity restricted",
        times=None,
        state=State.FAILED,
        words="violates PodSecurity restricted",
        creations=1,
    ),
    Answer(
        name="too-large",
        code=413,
        reason="RequestEntityTooLarge",
        message="Request entity too large: limit is 3145728",
        times=None,
        state=State.FAILED,
        words="make executor_config smaller",
        creations=1,
    ),
]


@dataclass(frozen=True)
class Ended:
    """How one row ended."""

    record: Record
    runs: int
    creations: int
    states: list[str]


@pytest.fixture(scope="module")
def ended(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Ended]]:
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    world = World(redis_server.url, tmp_path_factory.mktemp("answers"))
    created: dict[str, Callable[[], int]] = {}
    attempts: dict[str, AttemptId] = {}
    for answer in ANSWERS:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": answer.name}}
        world.kube.transport.call("POST", "/api/v1/namespaces", doing="create namespace", body=body)
        path = f"/namespaces/{answer.name}/pods$"
        created[answer.name] = world.count("create", path=path)
        world.sandbox.faults.add(
            Fault(
                answer.action,  # type: ignore[arg-type]
                verb="create",
                path=path,
                times=answer.times,
                code=answer.code,
                reason=answer.reason,
                message=answer.message,
                retry_after_seconds=answer.retry_after_seconds,
            )
        )
        script = f"echo ran >> {world.directory / answer.name}"
        [attempts[answer.name]] = world.submit(script, namespace=answer.name)
    world.start_agent(kubernetes={"multi_namespace_mode": "True"}, is_watching=False)
    found = {}
    for answer in ANSWERS:
        [record] = world.wait_for(answer.state, [attempts[answer.name]])
        ran = world.directory / answer.name
        runs = len(ran.read_text().splitlines()) if ran.exists() else 0
        found[answer.name] = Ended(record, runs, created[answer.name](), world.states(record.id))
    yield found
    world.close()


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.name)
def test_an_answer_of_the_cluster_has_its_consequence(ended: dict[str, Ended], answer: Answer) -> None:
    end = ended[answer.name]
    assert end.creations == answer.creations
    assert end.states.count(answer.state.value) == 1
    assert end.record.launches == 0
    assert answer.words in end.record.reason
    if answer.state is State.SUCCEEDED:
        assert end.runs == 1
        assert end.record.ended_at >= end.record.launching_at > 0
        assert (end.record.ended_at - end.record.submitted_at) / 1000 >= answer.at_least_seconds
    else:
        assert end.runs == 0
        assert end.record.category == "rejected"
        assert answer.message in end.record.reason
