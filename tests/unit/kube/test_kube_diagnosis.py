"""Statuses of pods and what they mean for the task. Shapes are those of real clusters."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_executor.kube.causes import WORDS, Category
from hybrid_executor.kube.diagnosis import Diagnosis, diagnose, sentence

FATAL = frozenset(
    {"CreateContainerConfigError", "ErrImagePull", "CreateContainerError", "ImageInspectError", "InvalidImageName"}
)
STARTED = "2026-11-22T10:00:00Z"


def container(name: str = "base", **state: Any) -> dict[str, Any]:
    return {"name": name, "state": state, "lastState": {}, "restartCount": 0, "ready": False}


def ended(exit_code: int, reason: str = "Error", **rest: Any) -> dict[str, Any]:
    return {"terminated": {"exitCode": exit_code, "reason": reason, "startedAt": STARTED, **rest}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


RUNNING: dict[str, Any] = {"running": {"startedAt": STARTED}}


def disruption(reason: str, message: str = "") -> list[dict[str, Any]]:
    return [{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}]


def pod(phase: str | None, *containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    spec = {"restartPolicy": "Never", "containers": [{"name": "base"}], "nodeName": "n1", **more.pop("spec", {})}
    metadata: dict[str, Any] = {"name": "p"}
    if more.pop("deleting", False):
        metadata["deletionTimestamp"] = STARTED
    status = {"phase": phase, "startTime": STARTED, **more}
    if containers:
        status["containerStatuses"] = list(containers)
    return {"metadata": metadata, "spec": spec, "status": status}


def look(raw: dict[str, Any], event_type: str = "MODIFIED") -> Diagnosis:
    return diagnose(raw, event_type=event_type, fatal_pending_reasons=FATAL)


SIDECAR_RUNS = container("sidecar", **RUNNING)
CREATING = container(**waiting("ContainerCreating"))
UNSCHEDULED = {
    "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}
    ],
    "startTime": None,
    "spec": {"nodeName": None},
}

# name, pod, event, phase, category, whether the task may have started
TABLE: list[tuple[str, dict[str, Any], str, str, str, bool]] = [
    ("new", pod("Pending", startTime=None, spec={"nodeName": None}), "ADDED", "pending", "pending", False),
    ("creating", pod("Pending", CREATING), "MODIFIED", "pending", "pending", False),
    ("unschedulable", pod("Pending", **UNSCHEDULED), "MODIFIED", "pending", "unschedulable", False),
    ("deleting while pending", pod("Pending", CREATING, deleting=True), "MODIFIED", "pending", "terminating", False),
    ("running", pod("Running", container(**RUNNING)), "MODIFIED", "running", "running", True),
    ("running, no statuses", pod("Running"), "MODIFIED", "running", "running", True),
    (
        "deleting while running",
        pod("Running", container(**RUNNING), deleting=True),
        "MODIFIED",
        "running",
        "terminating",
        True,
    ),
    (
        "base runs, sidecar cannot be pulled",
        pod("Pending", container(**RUNNING), container("s", **waiting("ErrImagePull"))),
        "MODIFIED",
        "running",
        "running",
        True,
    ),
    ("completed", pod("Succeeded", container(**ended(0, "Completed"))), "MODIFIED", "succeeded", "completed", True),
    ("completed, no statuses", pod("Succeeded"), "MODIFIED", "succeeded", "completed", True),
    (
        "completed, sidecar goes on",
        pod("Running", container(**ended(0, "Completed")), SIDECAR_RUNS),
        "MODIFIED",
        "succeeded",
        "completed",
        True,
    ),
    (
        "completed, sidecar failed",
        pod("Failed", container(**ended(0, "Completed")), container("sidecar", **ended(1))),
        "MODIFIED",
        "succeeded",
        "completed",
        True,
    ),
    (
        "completed and deleted",
        pod("Succeeded", container(**ended(0)), deleting=True),
        "DELETED",
        "succeeded",
        "completed",
        True,
    ),
    ("failed", pod("Failed", container(**ended(1))), "MODIFIED", "failed", "exit_nonzero", True),
    (
        "refused by its node, though base runs",
        pod("Failed", container(**RUNNING), reason="OutOfcpu"),
        "MODIFIED",
        "failed",
        "node_refused",
        True,
    ),
    (
        "failed, sidecar goes on",
        pod("Running", SIDECAR_RUNS, container(**ended(1))),
        "MODIFIED",
        "failed",
        "exit_nonzero",
        True,
    ),
    ("out of memory", pod("Failed", container(**ended(137, "OOMKilled"))), "MODIFIED", "failed", "oom_killed", True),
    ("failed without a word", pod("Failed"), "MODIFIED", "failed", "pod_failed", True),
    (
        "evicted",
        pod("Failed", container(**ended(137)), reason="Evicted", message="The node was low on resource: memory."),
        "MODIFIED",
        "failed",
        "evicted",
        True,
    ),
    ("evicted, no statuses", pod("Failed", reason="Evicted"), "MODIFIED", "failed", "evicted", True),
    (
        "evicted before it had a node",
        pod("Failed", reason="Evicted", startTime=None, spec={"nodeName": None}),
        "MODIFIED",
        "failed",
        "evicted",
        False,
    ),
    ("evicted while pulling", pod("Failed", CREATING, reason="Evicted"), "MODIFIED", "failed", "evicted", False),
    (
        "evicted by the eviction API",
        pod("Running", container(**RUNNING), deleting=True, conditions=disruption("EvictionByEvictionAPI")),
        "DELETED",
        "failed",
        "evicted",
        True,
    ),
    (
        "preempted while running",
        pod("Failed", container(**ended(143)), conditions=disruption("PreemptionByScheduler")),
        "MODIFIED",
        "failed",
        "preempted",
        True,
    ),
    (
        "preempted before start",
        pod("Pending", CREATING, deleting=True, conditions=disruption("PreemptionByScheduler")),
        "DELETED",
        "failed",
        "preempted",
        False,
    ),
    (
        "node gone",
        pod("Running", container(**RUNNING), deleting=True, conditions=disruption("DeletionByPodGC")),
        "DELETED",
        "failed",
        "node_lost",
        True,
    ),
    (
        "node does not answer",
        pod("Unknown", container(**RUNNING), reason="NodeLost"),
        "MODIFIED",
        "running",
        "running",
        True,
    ),
    ("node does not answer, no statuses", pod("Unknown", reason="NodeLost"), "MODIFIED", "unknown", "node_lost", True),
    ("phase nobody knows", pod("Strange"), "MODIFIED", "unknown", "unknown", True),
    ("unknown and deleted", pod("Unknown", deleting=True), "DELETED", "failed", "node_lost", True),
    (
        "container lost",
        pod("Failed", container(**ended(137, "ContainerStatusUnknown"))),
        "MODIFIED",
        "failed",
        "node_lost",
        True,
    ),
    (
        "node shuts down",
        pod("Failed", container(**ended(143)), reason="Terminated"),
        "MODIFIED",
        "failed",
        "node_shutdown",
        True,
    ),
    ("refused for cpu", pod("Failed", reason="OutOfcpu"), "MODIFIED", "failed", "node_refused", False),
    ("refused for affinity", pod("Failed", reason="NodeAffinity"), "MODIFIED", "failed", "node_refused", False),
    (
        "too long",
        pod("Failed", container(**ended(143)), reason="DeadlineExceeded"),
        "MODIFIED",
        "failed",
        "deadline_exceeded",
        True,
    ),
    (
        "provider failed, pending",
        pod("Pending", reason="ProviderFailed"),
        "MODIFIED",
        "failed",
        "provider_failed",
        False,
    ),
    (
        "provider failed, running",
        pod("Running", container(**RUNNING), reason="ProviderFailed"),
        "MODIFIED",
        "failed",
        "provider_failed",
        True,
    ),
    (
        "deleted while running",
        pod("Running", container(**RUNNING), deleting=True),
        "DELETED",
        "failed",
        "deleted",
        True,
    ),
    ("deleted while running, no statuses", pod("Running", deleting=True), "DELETED", "failed", "deleted", True),
    (
        "ended by its deletion",
        pod("Running", container(**ended(143)), deleting=True),
        "MODIFIED",
        "failed",
        "deleted",
        True,
    ),
    (
        "deleted while pending",
        pod("Pending", CREATING, deleting=True),
        "DELETED",
        "failed",
        "deleted_before_start",
        False,
    ),
    ("left the selector", pod("Running", container(**RUNNING)), "DELETED", "gone", "unlabelled", True),
    (
        "image not found",
        pod("Pending", container(**waiting("ErrImagePull", "rpc error"))),
        "MODIFIED",
        "failed",
        "image_pull",
        False,
    ),
    (
        "pull throttled by the node itself",
        pod("Pending", container(**waiting("ErrImagePull", "pull QPS exceeded"))),
        "MODIFIED",
        "pending",
        "image_pull",
        False,
    ),
    (
        "pull backs off",
        pod("Pending", container(**waiting("ImagePullBackOff", "Back-off pulling"))),
        "MODIFIED",
        "pending",
        "image_pull",
        False,
    ),
    (
        "image name",
        pod("Pending", container(**waiting("InvalidImageName"))),
        "MODIFIED",
        "failed",
        "image_invalid",
        False,
    ),
    (
        "secret missing",
        pod("Pending", container(**waiting("CreateContainerConfigError", 'secret "s" not found'))),
        "MODIFIED",
        "failed",
        "config_error",
        False,
    ),
    (
        "cannot create",
        pod("Pending", container(**waiting("CreateContainerError"))),
        "MODIFIED",
        "failed",
        "start_error",
        False,
    ),
    (
        "sidecar's image not found",
        pod("Pending", CREATING, container("s", **waiting("ErrImagePull"))),
        "MODIFIED",
        "failed",
        "image_pull",
        False,
    ),
    ("cannot start", pod("Failed", container(**ended(128, "StartError"))), "MODIFIED", "failed", "start_error", False),
    (
        "init image not found",
        pod(
            "Pending",
            container(**waiting("PodInitializing")),
            initContainerStatuses=[container("i", **waiting("ErrImagePull"))],
        ),
        "MODIFIED",
        "failed",
        "image_pull",
        False,
    ),
    (
        "init failed",
        pod("Failed", container(**waiting("PodInitializing")), initContainerStatuses=[container("i", **ended(2))]),
        "MODIFIED",
        "failed",
        "init_failed",
        False,
    ),
    (
        "init runs",
        pod("Pending", container(**waiting("PodInitializing")), initContainerStatuses=[container("i", **RUNNING)]),
        "MODIFIED",
        "pending",
        "pending",
        False,
    ),
    (
        "ended, but its node will start it again",
        pod("Running", container(**ended(1)), spec={"restartPolicy": "OnFailure"}),
        "MODIFIED",
        "running",
        "running",
        True,
    ),
    (
        "ended well under OnFailure",
        pod("Running", container(**ended(0)), SIDECAR_RUNS, spec={"restartPolicy": "OnFailure"}),
        "MODIFIED",
        "succeeded",
        "completed",
        True,
    ),
    (
        "crash loop",
        pod(
            "Running",
            {**container(**waiting("CrashLoopBackOff")), "restartCount": 3},
            spec={"restartPolicy": "OnFailure"},
        ),
        "MODIFIED",
        "running",
        "crash_loop",
        True,
    ),
    (
        "first container where none is named base",
        pod(
            "Running",
            container("worker", **ended(3)),
            SIDECAR_RUNS,
            spec={"containers": [{"name": "worker"}, {"name": "sidecar"}]},
        ),
        "MODIFIED",
        "failed",
        "exit_nonzero",
        True,
    ),
    ("nothing known", {}, "ADDED", "pending", "pending", False),
]


@pytest.mark.parametrize(
    ("raw", "event", "phase", "category", "started"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_a_status_means_what_the_table_says(
    raw: dict[str, Any], event: str, phase: str, category: str, started: bool
) -> None:
    found = look(raw, event)
    assert (found.phase, str(found.category), found.task_may_have_started) == (phase, category, started)


@pytest.mark.parametrize(("raw", "event"), [(row[1], row[2]) for row in TABLE], ids=[row[0] for row in TABLE])
def test_every_diagnosis_reads_as_a_sentence_without_none(raw: dict[str, Any], event: str) -> None:
    text = sentence(look(raw, event))
    assert text.startswith("The pod ")
    assert "None" not in text
    assert "()" not in text


def test_an_out_of_memory_kill_names_container_exit_code_signal_and_node() -> None:
    found = look(pod("Failed", container(**ended(137, "OOMKilled"))))
    assert (found.container, found.reason, found.exit_code, found.signal, found.node) == (
        "base",
        "OOMKilled",
        137,
        9,
        "n1",
    )
    assert sentence(found).startswith(
        "The pod ran out of memory (container base, OOMKilled, exit code 137, signal 9, node n1): "
    )


def limited(memory: str) -> dict[str, Any]:
    return {"resources": {"limits": {"memory": memory}}}


@pytest.mark.parametrize(
    ("spec", "reported", "words"),
    [
        ({"containers": [{"name": "base", **limited("400Mi")}]}, {}, ": its memory limit is 400Mi"),
        ({"containers": [{"name": "base", **limited("400Mi")}]}, limited("1Gi"), ": its memory limit is 1Gi"),
        ({"containers": [{"name": "base"}], **limited("2Gi")}, {}, ": its pod's memory limit is 2Gi"),
        ({"containers": [{"name": "base"}]}, {}, ": it has no memory limit, so its node had no memory left"),
        ({"containers": []}, {}, "node n1)."),
    ],
    ids=["declared", "changed while it ran", "of the whole pod", "none", "unknown"],
)
def test_an_out_of_memory_kill_tells_the_limit(spec: dict[str, Any], reported: dict[str, Any], words: str) -> None:
    killed = {**container(**ended(137, "OOMKilled")), **reported}
    assert sentence(look(pod("Failed", killed, spec=spec))).endswith(words)


def test_an_init_container_that_is_out_of_memory_tells_its_limit_and_its_own_words() -> None:
    fetches = container("fetch", **ended(137, "OOMKilled", message="at row 7"))
    spec = {"initContainers": [{"name": "fetch", **limited("64Mi")}]}
    found = look(pod("Failed", CREATING, initContainerStatuses=[fetches], spec=spec))
    assert (str(found.category), found.message) == ("init_failed", "its memory limit is 64Mi; at row 7")


def test_an_eviction_tells_the_clusters_own_words() -> None:
    found = look(
        pod("Failed", container(**ended(137)), reason="Evicted", message="The node was low on resource: memory.")
    )
    assert (found.reason, found.exit_code) == ("Evicted", 137)
    assert sentence(found).endswith(": The node was low on resource: memory.")


def test_a_preemption_tells_the_clusters_own_words() -> None:
    told = disruption("PreemptionByScheduler", "default-scheduler: preempting to accommodate a higher priority pod")
    for raw, event in (
        (pod("Failed", container(**ended(143)), conditions=told), "MODIFIED"),
        (pod("Pending", CREATING, deleting=True, conditions=told), "DELETED"),
    ):
        found = look(raw, event)
        assert found.reason == "PreemptionByScheduler"
        assert "preempting to accommodate a higher priority pod" in sentence(found)


def test_an_unschedulable_pod_says_what_is_missing() -> None:
    assert sentence(look(pod("Pending", **UNSCHEDULED))) == (
        "The pod finds no node (Unschedulable): 0/3 nodes are available"
    )


def test_a_failed_init_container_is_named() -> None:
    raw = pod("Failed", initContainerStatuses=[container("git-sync", **ended(2, message="no such branch"))])
    found = look(raw)
    assert (found.container, found.exit_code, found.message) == ("git-sync", 2, "no such branch")


def test_a_plain_failure_is_told_briefly() -> None:
    assert (
        sentence(look(pod("Failed", container(**ended(1))))) == "The pod failed (container base, exit code 1, node n1)."
    )


def test_a_long_message_is_cut() -> None:
    found = look(pod("Failed", container(**ended(1, message="log line\n" * 500))))
    assert len(found.message) == 500
    assert "\n" not in found.message


def test_only_success_and_failure_are_final() -> None:
    assert {row[3] for row in TABLE if look(row[1], row[2]).is_final} == {"succeeded", "failed"}
    assert {row[3] for row in TABLE if not look(row[1], row[2]).is_final} == {"pending", "running", "unknown", "gone"}


def test_every_category_has_words_and_a_stable_value() -> None:
    assert set(WORDS) == set(Category)
    assert all(str(category) == category.name.lower() for category in Category)


STATES = st.sampled_from(
    [RUNNING, ended(0), ended(1), ended(137, "OOMKilled"), waiting("ErrImagePull"), waiting("X"), {}]
)


@given(
    phase=st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown", None]),
    states=st.lists(STATES, max_size=3),
    event=st.sampled_from(["ADDED", "MODIFIED", "DELETED"]),
    deleting=st.booleans(),
    reason=st.sampled_from([None, "Evicted", "OutOfcpu", "Odd"]),
)
def test_no_status_is_without_a_verdict(
    phase: str | None, states: list[dict[str, Any]], event: str, deleting: bool, reason: str | None
) -> None:
    names = ["base", "s1", "s2"]
    raw = pod(
        phase,
        *(container(name, **state) for name, state in zip(names, states, strict=False)),
        deleting=deleting,
        reason=reason,
    )
    found = look(raw, event)
    assert found.phase in ("pending", "running", "succeeded", "failed", "unknown", "gone")
    assert "None" not in sentence(found)
    if states and "running" in states[0]:
        assert found.task_may_have_started
    if event == "DELETED" and deleting:
        assert found.is_final


def test_a_termination_message_is_without_tokens_and_control_characters() -> None:
    found = look(pod("Failed", container(**ended(1, message="bad token eyJhbGciOiJIUzI1NiJ9.e30.x\x00 refused"))))
    assert found.message == "bad token <hidden>\ufffd refused"


@pytest.mark.parametrize(
    ("raw", "is_settled"),
    [
        (pod("Running", container(**ended(1))), False),
        (pod("Failed", container(**ended(1))), True),
        (pod("Running", container(**ended(0))), False),
        (pod("Running", container(**ended(0)), conditions=[{"type": "Ready", "reason": "PodCompleted"}]), True),
        (pod("Running", container(**ended(1)), conditions=[{"type": "Ready", "reason": "PodFailed"}]), False),
        (pod("Pending", container(**ended(128, "StartError"))), False),
        (pod("Pending", container(**waiting("ErrImagePull"))), True),
    ],
)
def test_a_verdict_is_settled_by_the_phase_and_that_of_a_success_by_what_the_kubelet_holds_back(
    raw: dict[str, Any], is_settled: bool
) -> None:
    assert look(raw).is_settled is is_settled


@pytest.mark.parametrize(
    ("grace", "phase", "category"),
    [(0, "succeeded", "completed"), (30, "failed", "deleted"), (None, "failed", "deleted")],
)
def test_an_exit_code_of_0_counts_where_the_pod_had_ended_before_its_deletion(
    grace: int | None, phase: str, category: str
) -> None:
    raw = pod("Succeeded", container(**ended(0, "Completed")), deleting=True)
    raw["metadata"]["deletionGracePeriodSeconds"] = grace
    found = look(raw)
    assert (found.phase, str(found.category)) == (phase, category)
