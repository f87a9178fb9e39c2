"""What the agent decides about the pods of a real kubelet, event by event, and at which event."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from hybrid_executor.agent.watch.decision import Sighting, change_for, sight
from hybrid_executor.agent.watch.patience import SETTLE_SECONDS, SUCCESS_SECONDS, Endings
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.kube.diagnosis import sentence
from hybrid_executor.states import State

RECORDED = Path(__file__).parents[2] / "contract" / "kube_recordings" / "kubelet.json"
LIVES: dict[str, Any] = {name: life for name, life in json.loads(RECORDED.read_text()).items() if name != "attach"}
SETTINGS = KubernetesSettings()
UNLOCATED = "The container could not be located when the pod was terminated"


class Verdict(NamedTuple):
    """What is decided: at which event, or None where the time was up before the next one; and what."""

    at: int | None
    state: State
    category: str
    words: str


LIFE_TO_VERDICT = {
    "exit-0": Verdict(5, State.SUCCEEDED, "completed", "The pod completed (container base)."),
    "exit-1": Verdict(7, State.FAILED, "exit_nonzero", "The pod failed (container base, exit code 1)."),
    "exit-7-with-message": Verdict(
        6, State.FAILED, "exit_nonzero", "The pod failed (container base, exit code 7): why"
    ),
    "oom": Verdict(
        6,
        State.LOST,
        "oom_killed",
        "The pod ran out of memory (container base, OOMKilled, exit code 137, signal 9): its memory limit is 16Mi",
    ),
    "graceful-delete-killed": Verdict(
        7,
        State.FAILED,
        "deleted",
        "The pod was deleted while its task ran (container base, exit code 137, signal 9).",
    ),
    "graceful-delete-exit-0": Verdict(
        7, State.LOST, "deleted", "The pod was deleted while its task ran (container base, exit code 0)."
    ),
    "delete-grace-0": Verdict(6, State.LOST, "deleted", "The pod was deleted while its task ran."),
    "evicted-by-api": Verdict(
        8,
        State.LOST,
        "evicted",
        "The pod was evicted from its node (container base, EvictionByEvictionAPI, exit code 143, signal 15): "
        "Eviction API: evicting",
    ),
    "active-deadline": Verdict(
        6,
        State.LOST,
        "deadline_exceeded",
        "The pod ran longer than its activeDeadlineSeconds (container base, DeadlineExceeded, exit code 137, "
        "signal 9): Pod was active on the node longer than the specified deadline",
    ),
    "image-missing": Verdict(
        4,
        State.SUBMITTED,
        "image_pull",
        "The pod cannot get its image (container base, ErrImagePull): failed to pull and unpack image "
        '"local.test/none:1": failed to resolve reference "local.test/none:1": failed to do request: Head '
        '"https://local.test/v2/none/manifests/1": dial tcp: lookup local.test on 10.255.255.53:53: no such host',
    ),
    "image-never": Verdict(
        4,
        State.FAILED,
        "image_pull",
        "The pod cannot get its image (container base, ErrImageNeverPull): Container image "
        '"local.test/none:2" is not present with pull policy of Never',
    ),
    "init-fails": Verdict(
        6,
        State.FAILED,
        "init_failed",
        "The pod failed in an init container, before its task started (container first, exit code 3).",
    ),
    "bad-command": Verdict(
        5,
        State.SUBMITTED,
        "start_error",
        "The pod has a container that cannot be started (container base, StartError, exit code 128): failed to create "
        "containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start "
        'container process: exec: "/nope": stat /nope: no such file or directory: unknown',
    ),
    "native-sidecar": Verdict(7, State.SUCCEEDED, "completed", "The pod completed (container base)."),
    "missing-config": Verdict(
        4,
        State.FAILED,
        "config_error",
        "The pod needs a config map, secret or other setting that does not exist (container base, "
        'CreateContainerConfigError): configmap "nope" not found',
    ),
    "unschedulable": Verdict(
        3, State.SUBMITTED, "deleted_before_start", "The pod was deleted before its task started."
    ),
    "sidecar-goes-on": Verdict(7, State.FAILED, "exit_nonzero", "The pod failed (container base, exit code 5)."),
}


def test_every_recorded_life_is_in_the_table() -> None:
    assert set(LIFE_TO_VERDICT) == set(LIVES)
    assert len(LIVES) == 17


def sightings(name: str, settings: KubernetesSettings = SETTINGS) -> Iterator[tuple[float, Sighting]]:
    life = LIVES[name]
    for event in life["events"]:
        metadata: dict[str, Any] = {
            "name": "p",
            "namespace": "ns",
            "uid": "u",
            "labels": {"hybrid-executor/attempt": "a", "hybrid-executor/launch": "0"},
        }
        if event["deletionTimestamp"]:
            metadata["deletionTimestamp"] = "2026-11-25T15:30:40Z"
        raw = {"metadata": metadata, "spec": life["spec"], "status": event["status"]}
        seen = sight(raw, event_type=event["type"], fatal_pending_reasons=settings.fatal_pending_reasons)
        assert seen is not None
        yield event["after_s"], seen


def decide(name: str, settings: KubernetesSettings = SETTINGS) -> tuple[Verdict, Sighting]:
    """Give a life's events to the agent's decisions; return the first verdict, and what was seen then."""
    endings = Endings()
    for at, (now, seen) in enumerate(sightings(name, settings)):
        for due in endings.due(now=now):
            return verdict_of(due, None, settings), due
        ready = endings.take(seen, now=now)
        if ready is not None and ready.diagnosis.is_final:
            return verdict_of(ready, at, settings), ready
    for due in endings.due(now=float("inf")):
        return verdict_of(due, None, settings), due
    raise AssertionError(f"nothing was decided about {name}")


def verdict_of(seen: Sighting, at: int | None, settings: KubernetesSettings) -> Verdict:
    change = change_for(seen.diagnosis, seen.identity, settings)
    assert change is not None
    return Verdict(at, change.to, str(change.fields["category"]), sentence(seen.diagnosis))


@pytest.mark.parametrize("name", LIFE_TO_VERDICT)
def test_a_recorded_life_is_decided(name: str) -> None:
    assert decide(name)[0] == LIFE_TO_VERDICT[name]


@pytest.mark.parametrize("name", ["exit-1", "oom", "exit-7-with-message", "init-fails", "active-deadline"])
def test_a_failed_pod_is_decided_once_nothing_in_it_will_run_so_that_it_can_be_kept(name: str) -> None:
    seen = decide(name)[1]
    assert seen.has_ended
    assert not seen.runs_on
    assert seen.freed is not None
    assert "pods" in seen.freed


@pytest.mark.parametrize("name", ["image-missing", "image-never", "missing-config"])
def test_a_pod_that_is_deleted_while_it_waits_was_not_lost_with_its_node(name: str) -> None:
    patient = KubernetesSettings(fatal_pending_reasons=frozenset())
    found = decide(name, patient)[0]
    words = "The pod was deleted before its task started."
    assert found == Verdict(8, State.SUBMITTED, "deleted_before_start", words)


def cut(name: str, *, last: int) -> Iterator[tuple[float, Sighting]]:
    """Return a life up to an event, after which its node says no more."""
    for at, item in enumerate(sightings(name)):
        if at <= last:
            yield item


@pytest.mark.parametrize(
    ("name", "last", "seconds"),
    [
        ("exit-1", 5, SETTLE_SECONDS),
        ("oom", 5, SETTLE_SECONDS),
        ("sidecar-goes-on", 4, SETTLE_SECONDS),
        ("native-sidecar", 6, SUCCESS_SECONDS),
    ],
)
def test_a_node_that_says_no_more_is_waited_for_within_a_bound(name: str, last: int, seconds: float) -> None:
    endings = Endings()
    events = list(cut(name, last=last))
    assert [seen.diagnosis.is_final and endings.take(seen, now=now) for now, seen in events][-1] is None
    ended_at = events[-1][0]
    assert endings.due(now=ended_at + seconds - 0.01) == []
    [due] = endings.due(now=ended_at + seconds)
    assert due.diagnosis.is_final
    endings.forget([due])
    assert len(endings) == 0


def test_an_end_by_signal_beside_a_sidecar_is_waited_for_as_long_as_the_pod_may_take_to_end() -> None:
    pod: Mapping[str, Any] = {
        "metadata": {"name": "p", "labels": {"hybrid-executor/attempt": "a"}},
        "spec": {"terminationGracePeriodSeconds": 60, "containers": [{"name": "base"}, {"name": "mesh"}]},
        "status": {
            "phase": "Running",
            "containerStatuses": [
                {"name": "base", "state": {"terminated": {"exitCode": 143, "reason": "Error"}}},
                {"name": "mesh", "state": {"running": {}}},
            ],
        },
    }
    seen = sight(pod)
    assert seen is not None
    endings = Endings()
    assert endings.take(seen, now=0.0) is None
    assert endings.due(now=SETTLE_SECONDS + 59.9) == []
    assert endings.due(now=SETTLE_SECONDS + 60.0) == [seen]


def life_of(*statuses: dict[str, Any], **metadata: Any) -> list[Sighting]:
    labels = {"hybrid-executor/attempt": "a"}
    found = []
    for status in statuses:
        more = status.pop("metadata", {})
        raw = {
            "metadata": {"name": "p", "uid": "u", "labels": labels, **metadata, **more},
            "spec": {"containers": [{"name": "base"}]},
            "status": status,
        }
        seen = sight(raw)
        assert seen is not None
        found.append(seen)
    return found


def ended(code: int, reason: str = "Error") -> list[dict[str, Any]]:
    started = "2026-11-25T15:30:40Z"
    return [{"name": "base", "state": {"terminated": {"exitCode": code, "reason": reason, "startedAt": started}}}]


DELETING = {"deletionTimestamp": "2026-11-25T15:31:10Z", "deletionGracePeriodSeconds": 30}


def last_of(*seen: Sighting) -> Sighting:
    endings = Endings()
    *_, last = [endings.take(one, now=0.0) for one in seen]
    assert last is not None
    return last


@pytest.mark.parametrize("code", [0, 137, 143])
def test_an_eviction_that_is_said_after_the_end_is_what_the_user_reads(code: int) -> None:
    low = "The node was low on resource: memory."
    seen = life_of(
        {"phase": "Running", "containerStatuses": ended(code)},
        {"phase": "Failed", "containerStatuses": ended(code), "reason": "Evicted", "message": low},
    )
    found = last_of(*seen).diagnosis
    assert (found.phase, str(found.category), found.message) == ("failed", "evicted", low)


@pytest.mark.parametrize(("code", "phase", "category"), [(0, "succeeded", "completed"), (3, "failed", "exit_nonzero")])
def test_a_deletion_after_the_end_does_not_change_why_it_ended(code: int, phase: str, category: str) -> None:
    seen = life_of(
        {"phase": "Running", "containerStatuses": ended(code)},
        {"phase": "Running", "containerStatuses": ended(code), "metadata": DELETING},
        {"phase": "Failed", "containerStatuses": ended(code), "metadata": DELETING},
    )
    found = last_of(*seen).diagnosis
    assert (found.phase, str(found.category)) == (phase, category)


def test_an_exit_code_of_0_after_the_kernel_took_the_tasks_process_is_out_of_memory() -> None:
    [seen] = life_of({"phase": "Succeeded", "containerStatuses": ended(0, "OOMKilled")})
    found = last_of(seen).diagnosis
    assert (found.phase, str(found.category), found.exit_code) == ("failed", "oom_killed", 0)


def test_a_pod_of_the_same_name_is_another_pod() -> None:
    endings = Endings()
    [first, again] = life_of(
        {"phase": "Running", "containerStatuses": ended(3)},
        {"phase": "Failed", "containerStatuses": ended(143), "metadata": {**DELETING, "uid": "u2"}},
    )
    assert endings.take(first, now=0.0) is None
    taken = endings.take(again, now=1.0)
    assert taken is not None
    assert str(taken.diagnosis.category) == "deleted"
    endings.forget([taken])
    assert endings.due(now=100.0) == [first]
