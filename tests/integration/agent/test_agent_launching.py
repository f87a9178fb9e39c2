"""From the launch stream to pods and back: what an agent does with attempts, on real servers."""

from __future__ import annotations

from dataclasses import replace

from hybrid_executor.kube.names import LABEL_DONE
from hybrid_executor.states import State
from hybrid_executor.store import RedisSettings, open_store

from .conftest import INSTANCE, World, wait_until

HIDDEN = "secret-token"


def test_a_task_runs_in_a_pod_that_is_deleted_after_it(world: World) -> None:
    world.start_agent()
    [attempt] = world.submit("sleep 0.2")
    [record] = world.wait_for(State.SUCCEEDED, [attempt])
    assert (record.namespace, record.holder, record.exit_code) == ("default", record.pod, "0")
    assert record.extra["node"] == "sandbox-node"
    wait_until(lambda: not world.pods(), what="no pod left")
    states = world.states(attempt)
    assert states[:2] == ["submitted", "launching"]
    assert states[-2:] == ["running", "succeeded"]
    wait_until(world.launch_stream_is_empty, what="the launch to be acknowledged")


def test_a_failed_task_keeps_its_pod_marked_and_says_why(world: World) -> None:
    world.start_agent()
    [attempt] = world.submit("exit 3")
    [record] = world.wait_for(State.FAILED, [attempt])
    assert record.category == "exit_nonzero"
    assert record.exit_code == "3"
    assert "exit code 3" in record.reason
    pod = wait_until(lambda: [pod for pod in world.pods() if LABEL_DONE in pod["metadata"]["labels"]])[0]
    assert pod["metadata"]["name"] == record.pod


def test_pods_of_failed_tasks_are_deleted_where_that_is_configured(world: World) -> None:
    world.start_agent(kubernetes={"delete_worker_pods_on_failure": "True"})
    world.wait_for(State.FAILED, world.submit("exit 1"))
    wait_until(lambda: not world.pods(), what="no pod left")


def test_all_pods_are_kept_and_marked_where_that_is_configured(world: World) -> None:
    world.start_agent(kubernetes={"delete_worker_pods": "False"})
    world.wait_for(State.SUCCEEDED, world.submit("exit 0"))
    marked = wait_until(lambda: [pod for pod in world.pods() if LABEL_DONE in pod["metadata"]["labels"]])
    assert len(marked) == 1


def test_a_callback_runs_in_a_pod_too(world: World) -> None:
    world.start_agent()
    world.wait_for(State.SUCCEEDED, world.submit("exit 0", kind="callback", dag_id="", task_id="", run_id=""))


def test_a_lost_answer_to_a_creation_makes_no_second_pod(world: World) -> None:
    created = world.count("create")
    world.sandbox.faults.lose_reply(verb="create", path="/pods$", times=1)
    # Nobody watches, so only a second creation can tell.
    world.store.leases.take("watch:default:default", holder="nobody", seconds=600)
    world.start_agent(is_watching=False)
    [attempt] = world.submit("sleep 1")
    [record] = world.wait_for(State.PENDING, [attempt])
    assert created() == 2
    assert world.pod_names() == {record.pod}
    wait_until(world.launch_stream_is_empty, what="the launch to be acknowledged")


def test_a_pod_whose_creation_was_never_answered_is_found_by_the_watcher(world: World) -> None:
    created = world.count("create")
    world.sandbox.faults.lose_reply(verb="create", path="/pods$", times=1)
    world.start_agent()
    [attempt] = world.submit("exit 0")
    world.wait_for(State.SUCCEEDED, [attempt])
    wait_until(world.launch_stream_is_empty, what="the launch to be dropped")
    assert created() == 1


def test_throttling_and_server_errors_are_tried_again(world: World) -> None:
    world.sandbox.faults.fail(429, verb="create", path="/pods$", retry_after_seconds=1)
    world.sandbox.faults.fail(503, verb="create", path="/pods$")
    world.start_agent()
    [record] = world.wait_for(State.SUCCEEDED, world.submit())
    assert record.launches == 0
    assert record.pending_at - record.launching_at >= 0
    assert record.pending_at - record.submitted_at >= 1000


def test_no_more_than_the_configured_tries_are_made(world: World) -> None:
    created = world.count("create")
    world.sandbox.faults.fail(503, verb="create", path="/pods$", times=None)
    world.start_agent(kubernetes={"task_publish_max_retries": "1"})
    [record] = world.wait_for(State.FAILED, world.submit())
    assert "2 tries" in record.reason
    assert "503" in record.reason
    assert created() == 2


def test_a_full_quota_holds_back_only_its_namespace_and_says_so(world: World) -> None:
    quota = world.sandbox.faults.fail(
        403,
        verb="create",
        path="/namespaces/other/pods$",
        times=None,
        reason="Forbidden",
        message='pods "x" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1',
    )
    world.start_agent()
    waiting = world.submit(count=60, namespace="other")
    world.wait_for(State.SUCCEEDED, world.submit(count=5))
    notes = wait_until(lambda: {world.record(attempt).note for attempt in waiting} - {""})
    assert all("Waiting for quota" in note for note in notes)
    # Sixteen at most were under way when the quota was met; since then one launch at a time probes for all.
    assert world.sandbox.faults.hits(quota) <= 16 + 5
    world.sandbox.faults.clear()
    world.wait_for(State.SUCCEEDED, waiting)


def test_an_attempt_revoked_while_its_pod_is_created_leaves_no_pod(world: World) -> None:
    world.sandbox.faults.slow(1.0, verb="create", path="/pods$", times=1)
    world.start_agent()
    [attempt] = world.submit("sleep 30")
    world.wait_for(State.LAUNCHING, [attempt])
    world.store.attempts.revoke([attempt], reason="cleared")
    wait_until(world.launch_stream_is_empty, what="the launch to be done with")
    wait_until(lambda: not world.pods(), what="no pod left")
    assert world.record(attempt).state is State.REVOKED
    assert world.states(attempt)[-1] == "revoked"


def test_a_revoked_attempt_is_never_launched(world: World) -> None:
    created = world.count("create")
    [attempt] = world.submit()
    world.store.attempts.revoke([attempt], reason="cleared")
    world.start_agent()
    wait_until(world.launch_stream_is_empty, what="its launch to be dropped")
    assert created() == 0


def test_the_pod_of_a_revoked_attempt_is_deleted(world: World) -> None:
    world.start_agent()
    [attempt] = world.submit("sleep 30")
    world.wait_for(State.RUNNING, [attempt])
    world.store.attempts.revoke([attempt], reason="cleared")
    wait_until(lambda: not world.pods(), what="no pod left")
    wait_until(world.launch_stream_is_empty, what="the launch to be acknowledged")
    assert world.record(attempt).reason == "cleared"


def test_a_pod_that_the_cluster_refuses_fails_with_its_words(world: World) -> None:
    world.start_agent(settings=world.settings(launch_patience="1"))
    [record] = world.wait_for(State.FAILED, world.submit(namespace="nowhere"))
    assert record.category == "rejected"
    assert 'namespaces "nowhere" not found' in record.reason
    assert HIDDEN not in record.reason


def test_a_broken_template_fails_only_its_task(world: World) -> None:
    world.start_agent(kubernetes={"pod_template_file": ""})
    broken = world.directory / "broken.yaml"
    broken.write_text("spec: [unclosed")
    [bad] = world.submit(pod={"spec": {"containers": [{"name": "base"}]}})
    [record] = world.wait_for(State.FAILED, [bad])
    assert "has no image" in record.reason
    image = {"spec": {"containers": [{"name": "base", "image": "task:1", "command": ["true"]}]}}
    world.wait_for(State.SUCCEEDED, world.submit(pod=image))


def test_a_raising_mutation_hook_fails_only_its_task(world: World) -> None:
    def hook(pod: object) -> None:
        if "bad" in getattr(pod, "metadata").labels["task_id"]:  # noqa: B009
            raise ValueError("no such team")

    world.start_agent(hook=hook)
    [record] = world.wait_for(State.FAILED, world.submit(task_id="bad"))
    assert "no such team" in record.reason
    world.wait_for(State.SUCCEEDED, world.submit(task_id="good"))


def test_a_workload_that_waited_longer_than_its_token_fails_and_says_so(world: World) -> None:
    short = open_store(RedisSettings(url=world.redis_url), instance=INSTANCE, payload_seconds=1)
    [attempt] = world.submit(store=short)
    payload = short.keys.payload(attempt)
    wait_until(lambda: not short.client.exists(payload), what="the payload to expire")
    short.close()
    world.start_agent(settings=replace(world.settings(), token_seconds=1))
    [record] = world.wait_for(State.FAILED, [attempt])
    assert record.category == "expired"
    assert "[scheduler] task_queued_timeout" in record.reason


def test_a_workload_that_redis_lost_before_its_time_is_left_to_its_owner(world: World) -> None:
    [attempt] = world.submit()
    world.store.client.delete(world.store.keys.payload(attempt))
    world.start_agent()
    [record] = world.wait_for(State.LOST, [attempt])
    assert record.category == "workload_lost"


def test_a_namespace_that_only_executor_config_names_is_watched_too(world: World) -> None:
    world.start_agent()
    world.wait_for(State.SUCCEEDED, world.submit(namespace="other"))
    assert world.watcher("other") == "agent-1"


def test_launches_keep_to_the_rate_that_all_agents_share(world: World) -> None:
    settings = world.settings(pod_creation_rate="10")
    world.start_agent("agent-1", settings=settings)
    world.start_agent("agent-2", settings=settings, is_watching=False)
    attempts = world.submit(count=30)
    records = world.wait_for(State.SUCCEEDED, attempts)
    launched = sorted(record.launching_at for record in records)
    # The bucket holds one second's worth: 10 at once, 20 more take at least 2 s, less one token's time.
    assert launched[-1] - launched[0] >= 1800


def test_a_pod_of_somebody_else_with_our_name_is_stepped_around(world: World) -> None:
    from hybrid_executor.kube.names import pod_name

    [attempt] = world.submit()
    name = pod_name("dag", "task", attempt, 0)
    stranger = {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "x", "command": ["true"]}]}}
    world.kube.create_pod("default", stranger)
    world.start_agent()
    [record] = world.wait_for(State.SUCCEEDED, [attempt])
    assert record.pod != name
    assert record.launches == 0
