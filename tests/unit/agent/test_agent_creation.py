"""When a pod is not created at once: its agent was paused, or Redis has lost data and the attempt may have a pod."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any, cast
from unittest.mock import Mock

import pytest
from fakeredis import FakeRedis

from hybrid_executor.agent.identity import ANNOTATION_GENERATION
from hybrid_executor.agent.launch.creation import PodCreator
from hybrid_executor.agent.launch.entries import Again, Created, Launch, Ready
from hybrid_executor.agent.launch.intake import LaunchIntake
from hybrid_executor.agent.launch.pod_factory import PodFactory
from hybrid_executor.agent.launch.preparation import LaunchPreparer
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.errors import KubeError
from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.store import Store, Submission

A = AttemptId("a")
SETTINGS = KubernetesSettings(worker_container_repository="task", worker_container_tag="1")


@pytest.fixture
def store() -> Iterator[Store]:
    with closing(FakeRedis(decode_responses=True)) as client:
        store = Store(client, instance="test")
        store.launches("c", consumer="agent").prepare()
        fields: dict[str, str | int] = {"dag_id": "d", "task_id": "t", "cluster": "c"}
        store.attempts.submit(
            [Submission(attempt=A, owner=OwnerId("1"), pool="kubernetes", fields=fields, payload="{}", cluster="c")]
        )
        yield store


@pytest.fixture
def intake(store: Store) -> LaunchIntake:
    stream = store.launches("c", consumer="agent")
    return LaunchIntake(stream, cluster="c", take_over_seconds=15, accept=lambda _: None)


def test_launches_are_held_from_the_first_renewal_on_and_anew_after_a_pause(intake: LaunchIntake) -> None:
    assert intake.held_since == math.inf
    now = time.monotonic()
    for step in (0, 5, 14):
        intake.renew_due(now=now + step)
        assert intake.held_since == now
    intake.renew_due(now=now + 29.5)  # longer ago than other agents wait
    assert intake.held_since == now + 29.5


def test_launches_that_are_not_renewed_for_too_long_are_not_held(intake: LaunchIntake) -> None:
    intake.renew_due(now=time.monotonic() - 16)
    assert intake.held_since == math.inf


@pytest.fixture
def ready(store: Store) -> Ready:
    """A launch whose record names its pod."""
    factory = PodFactory(SETTINGS, instance="test", profiles={})
    preparer = LaunchPreparer(
        agent="agent", cluster="c", store=store, present=store.events.present, factory=factory, token_seconds=600
    )
    [entry] = store.launches("c", consumer="agent").take(count=1, wait_milliseconds=1)
    [read] = preparer.read([Launch(entry)])
    assert isinstance(read, Ready)
    [announced] = preparer.announce([read])
    assert isinstance(announced, Ready)
    return announced


class Pods:
    """A cluster's client, as far as pods are created.

    :ivar existing: what a list shows. :ivar patch_status: how a patch is answered, 200 for well.
    """

    def __init__(self, *existing: dict[str, Any], patch_status: int = 200) -> None:
        self.existing, self.patch_status = existing, patch_status
        self.created: list[str] = []

    def run(self, manifest: Any) -> dict[str, Any]:
        self.created.append(manifest["metadata"]["name"])
        return dict(manifest)

    def list_pods(self, *_: str) -> Any:
        return Mock(items=list(self.existing))

    def patch_pod(self, *_: object) -> dict[str, Any]:
        if self.patch_status != 200:
            raise KubeError("patch a pod", status=self.patch_status)
        return {}


def creator(pods: Pods, **rest: Any) -> PodCreator:
    return PodCreator(
        cluster="c",
        instance="test",
        client=cast(KubeClient, pods),
        run_pod=pods.run,
        settings=SETTINGS,
        patience_seconds=60,
        **{"distrusts_records": lambda: False, **rest},
    )


@pytest.mark.parametrize(("seconds", "outcome"), [(-1, Created), (1, Again)], ids=["held", "paused since"])
def test_no_pod_is_created_for_a_record_that_was_read_before_a_pause(
    ready: Ready, seconds: float, outcome: type
) -> None:
    pods = Pods()
    assert isinstance(creator(pods, held_since=lambda: time.monotonic() + seconds).create(ready), outcome)
    assert bool(pods.created) is (outcome is Created)


@pytest.mark.parametrize(("status", "outcome"), [(200, Created), (403, Created), (404, Again), (500, Again)], ids=str)
def test_a_pod_from_before_a_loss_of_data_is_taken_only_if_it_can_get_the_new_generation(
    ready: Ready, status: int, outcome: type
) -> None:
    """What nobody sees of a pod of an older generation would not reach the record: it may be gone already."""
    older = copy.deepcopy(ready.manifest.pod)
    older["metadata"]["annotations"][ANNOTATION_GENERATION] = "0"
    older["metadata"]["uid"] = "u"
    pods = Pods(older, patch_status=status)
    assert isinstance(creator(pods, distrusts_records=lambda: True).create(ready), outcome)
    assert pods.created == []
