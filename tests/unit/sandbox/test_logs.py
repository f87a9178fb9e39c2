"""Which log a request means."""

from __future__ import annotations

from typing import Any

import pytest

from hybrid_executor.sandbox.logs import log_query, restart_to_read
from hybrid_executor.sandbox.status import StatusError


def pod(state: dict[str, Any] | None = None, *, names: tuple[str, ...] = ("base",), **status: Any) -> dict[str, Any]:
    statuses = [{"name": names[0], "state": state, "lastState": {}, "restartCount": 0, **status}] if state else []
    spec = {"containers": [{"name": name} for name in names], "initContainers": [{"name": "init"}]}
    return {"metadata": {"name": "one"}, "spec": spec, "status": {"containerStatuses": statuses}}


def restart(subject: dict[str, Any], **params: str) -> int:
    return restart_to_read(subject, log_query(subject, params))


def test_the_only_container_is_meant_where_none_is_named() -> None:
    assert log_query(pod(), {"tailLines": "3", "follow": "true"}).container == "base"
    assert log_query(pod(), {"container": "init"}).container == "init"


@pytest.mark.parametrize(
    ("names", "params", "words"),
    [
        (("a", "b"), {}, r"a container name must be specified for pod one, choose one of: \[a b\]"),
        (("a",), {"container": "nope"}, "container nope is not valid for pod one"),
        (("a",), {"tailLines": "x"}, "invalid syntax"),
    ],
)
def test_a_request_for_no_log_in_particular_is_refused(
    names: tuple[str, ...], params: dict[str, str], words: str
) -> None:
    with pytest.raises(StatusError, match=words):
        log_query(pod(names=names), params)


def test_a_running_or_ended_container_shows_its_present_run() -> None:
    assert restart(pod({"running": {}}, restartCount=2)) == 2
    assert restart(pod({"terminated": {}})) == 0


def test_a_container_between_two_runs_shows_the_last() -> None:
    subject = pod({"waiting": {"reason": "CrashLoopBackOff"}}, lastState={"terminated": {}}, restartCount=1)
    assert restart(subject) == 0
    assert restart(pod({"running": {}}, lastState={"terminated": {}}, restartCount=3), previous="true") == 2


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("ContainerCreating", "is waiting to start: ContainerCreating"),
        ("ImagePullBackOff", "is waiting to start: trying and failing to pull image"),
    ],
)
def test_a_container_that_never_ran_has_no_log(reason: str, words: str) -> None:
    with pytest.raises(StatusError, match=words) as caught:
        restart(pod({"waiting": {"reason": reason}}))
    assert caught.value.code == 400


def test_a_first_run_has_no_previous_one() -> None:
    with pytest.raises(StatusError, match='previous terminated container "base" in pod "one" not found'):
        restart(pod({"running": {}}), previous="true")
