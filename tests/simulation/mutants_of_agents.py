"""Guards of the agents, and of the executor where it answers for pods, each removed alone."""

from __future__ import annotations

from tests.simulation.mutant import Mutant

_AGENT = "hybrid_executor/agent"
_EXECUTOR = "hybrid_executor/executor"
_LUA = "hybrid_executor/store/scripts"

AGENT_MUTANTS = (
    # ---- launches ----
    Mutant(
        name="an agent that was paused creates a pod without another look at the record",
        file=f"{_AGENT}/launch/creation.py",
        old="            if ready.launch.announced_at < self._held_since():",
        new="            if False:",
        within=3000,
        needs=("pause",),
        unseen_because="Another agent must run the attempt while one is paused just before a creation",
        test="tests/unit/agent/test_agent_creation.py"
        "::test_no_pod_is_created_for_a_record_that_was_read_before_a_pause",
    ),
    Mutant(
        name="a creation whose answer was lost is made again under another name",
        file=f"{_AGENT}/launch/creation.py",
        old="        if identity is not None and (identity.attempt, identity.launch) == "
        "(ready.record.id, ready.record.launch):",
        new="        if False:",
    ),
    Mutant(
        name="a creation that failed is not tried again",
        file=f"{_AGENT}/launch/launcher.py",
        old="            self._pool.submit_after(item.seconds, lambda: self._unread.add(launch))\n",
        new="            pass\n",
    ),
    Mutant(
        name="entries of dead agents are not taken over",
        file=f"{_AGENT}/launch/intake.py",
        old="            for entry in self._stream.take_over(idle_milliseconds=idle_milliseconds, count=count):",
        new="            for entry in []:",
    ),
    Mutant(
        name="a launch of an older generation is made",
        file=f"{_AGENT}/launch/preparation.py",
        old="        if record is None or record.generation != launch.entry.generation or ",
        new="        if record is None or ",
        within=100,
        unseen_because="Both entries make a pod of the same name, and the API server refuses the second",
    ),
    Mutant(
        name="a launch of what is not to be launched is made",
        file=f"{_AGENT}/launch/preparation.py",
        old="        if record.state not in LAUNCHABLE:\n            return Dropped(launch)\n",
        new="",
        within=100,
        unseen_because="What is launched has a pod of this name already; what is revoked has another generation",
    ),
    Mutant(
        name="the outcome of a launch is not recorded again after an outage",
        file=f"{_AGENT}/launch/recording.py",
        old="            except StoreUnavailable:\n                failures += 1\n",
        new="            except StoreUnavailable:\n                return\n",
    ),
    Mutant(
        name="an outcome leaves its launch on the stream",
        file=f"{_LUA}/advance.lua",
        old="  if acknowledged_key and not is_wrong_type("
        "check(redis.pcall('XDEL', acknowledged_key, acknowledged_id))) then",
        new="  if false then",
        needs_pods=True,
    ),
    Mutant(
        name="what a quota refused is not tried again",
        file=f"{_AGENT}/launch/barrier.py",
        old="        if now < self._until:\n            return 0\n",
        new="        if True:\n            return 0\n",
    ),
    Mutant(
        name="a try for others never ends where its pod was there already",
        file=f"{_AGENT}/launch/launcher.py",
        old="            self._queue.settled(launch)  # it may have been tried for others that are refused\n",
        new="            pass\n",
        within=10_000,
        unseen_because="The pod that is tried for all others of a quota must exist already",
        test="tests/unit/agent/test_agent_launch_queue.py"
        "::test_the_next_one_tries_where_the_pod_of_the_first_was_there_already",
    ),
    # ---- pods that are followed ----
    Mutant(
        name="the end of an old pod ends its successor",
        file=f"{_AGENT}/watch/decision.py",
        old="        to=to,\n        generation=pod.generation,\n",
        new="        to=to,\n        generation=None,\n",
        within=1000,
        unseen_because=(
            "An agent records a verdict once: another one must take the watch over between a pod's failure and "
            "its deletion"
        ),
        test="tests/unit/agent/test_agent_decision.py::test_a_diagnosis_changes_the_record_to",
    ),
    Mutant(
        name="a pod that died before its task is not launched again",
        file=f"{_AGENT}/watch/decision.py",
        old="            relaunch=True,\n",
        new="            relaunch=False,\n",
    ),
    Mutant(
        name="a pod of a revoked attempt is left",
        file=f"{_AGENT}/watch/decision.py",
        old='    return "mark" if seen.has_ended and not settings.delete_worker_pods else "delete"\n',
        new='    return "leave"\n',
    ),
    Mutant(
        name="a finished pod is left",
        file=f"{_AGENT}/watch/decision.py",
        old="    if settings.delete_worker_pods and (settings.delete_worker_pods_on_failure or not has_failed):\n"
        '        return "delete"\n',
        new='    if not has_failed:\n        return "leave"\n',
    ),
    Mutant(
        name="a list does not repair what events missed",
        file=f"{_AGENT}/watch/relist.py",
        old="    elif change is not None:\n        repairs.sightings.append(sighting)\n",
        new="    elif change is not None:\n        pass\n",
    ),
    Mutant(
        name="a pod that a list does not show is not looked for",
        file=f"{_AGENT}/watch/relist.py",
        old="        self._look_for_missing(expected, listed)\n",
        new="",
    ),
    Mutant(
        name="a pod that could not be asked for counts as gone",
        file=f"{_AGENT}/watch/relist.py",
        old="            if error.status != 404:\n                raise\n",
        new="",
        within=2000,
        unseen_because="A pod must exist that no list shows, which needs somebody who changes its labels",
        test="tests/integration/agent/test_agent_watching.py"
        "::test_a_pod_that_lost_its_labels_and_cannot_be_asked_for_is_not_taken_for_gone",
    ),
    Mutant(
        name="a watch goes on from a version that is too old",
        file=f"{_AGENT}/watch/watcher.py",
        old='            self._version = ""\n            self._clear_stored_version()\n',
        new="",
    ),
    Mutant(
        name="a pod whose record came back with a lower generation is not recorded",
        file=f"{_AGENT}/watch/decision.py",
        old="    if claim.outcome is Outcome.STALE and claim.generation < pod.generation:",
        new="    if False:",
        unseen_because="Its launch has come back too, and finds the pod",
        test="tests/unit/agent/test_agent_decision.py::test_a_record_written_anew_is_changed_by_the_pod_that_is_older",
    ),
    Mutant(
        name="a removal that failed is not tried again",
        file=f"{_AGENT}/removal.py",
        old="        self._pool.submit_after(seconds, lambda: self._do(work))\n",
        new="        pass\n",
    ),
    Mutant(
        name="a lease is kept by an agent that was silent",
        file=f"{_AGENT}/leases.py",
        old="        return self._lease is not None and self._clock() < self._until",
        new="        return self._lease is not None",
        within=1000,
        unseen_because="What it still does is fenced: by generations, versions of pods and fencing numbers",
        test="tests/unit/agent/test_agent_leases.py::test_a_lease_that_could_not_be_renewed_in_time_is_not_held",
    ),
    # ---- the executor ----
    Mutant(
        name="the place of a pod is forgotten with its record",
        file=f"{_EXECUTOR}/comparison.py",
        old='        place |= {"pod": tracked.holder, "namespace": tracked.namespace}\n',
        new="        pass\n",
        needs_pods=True,
    ),
    Mutant(
        name="a lost pod of a deferred task fails the task",
        file=f"{_EXECUTOR}/lost.py",
        old="            if row is not None and row.state not in compat.UNFINISHED:",
        new="            if False:",
        needs_pods=True,
        within=1000,
        unseen_because="Airflow drops an end of a task that it does not have as queued or running",
        test="tests/integration/test_owner_repairs.py"
        "::test_what_a_dead_scheduler_has_left_of_an_ended_task_is_followed_to_its_end_and_told_to_nobody",
    ),
    Mutant(
        name="what agents report as lost is not decided",
        file=f"{_EXECUTOR}/lost.py",
        old='            self._conclude(lost, rows, "")\n',
        new="            pass\n",
        needs_pods=True,
    ),
    Mutant(
        name="a launch that waits is not written again after a loss of data",
        file=f"{_EXECUTOR}/comparison.py",
        old="    not_queued = submit_again(context, waiting, {}, keep=waiting)\n",
        new="    not_queued = submit_again(context, {}, {}, keep=waiting)\n",
        needs_pods=True,
    ),
)
