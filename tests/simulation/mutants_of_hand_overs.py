"""Guards of workloads that are handed over to pods that wait for them, each removed alone: warm pods, and ``stdin``."""

from __future__ import annotations

from tests.simulation.mutant import Mutant

_LUA = "hybrid_executor/store/scripts"
_WARM = "hybrid_executor/agent/warm"
_KUBE = "hybrid_executor/kube"

HAND_OVER_MUTANTS = (
    # ---- whose a pod is ----
    Mutant(
        name="a pod that waits no more is claimed",
        file=f"{_KUBE}/warm_pod.py",
        old="    patch = [own, *change_label(LABEL_WARM, WAITING, CLAIMED)]\n",
        new='    patch = [own, {"op": "replace", "path": path_of("labels", LABEL_WARM), "value": CLAIMED}]\n',
        needs_pods=True,
        within=3000,
        needs_warm=True,
        needs=("fall_back",),
        unseen_because="Redis must lose that a pod was given away, just before another attempt asks for one",
        test="tests/unit/kube/test_kube_warm_pod.py::test_a_claim_gives_the_pod_the_labels_that_a_cold_pod_has",
    ),
    Mutant(
        name="it is decided again whether a launch gets a waiting pod",
        file=f"{_LUA}/givewarm.lua",
        old="local state, is_decided = known[1], tonumber(known[6] or '-1') == generation",
        new="local state, is_decided = known[1], false",
        needs_pods=True,
        within=3000,
        needs_warm=True,
    ),
    Mutant(
        name="a launch of another generation gets a waiting pod",
        file=f"{_LUA}/givewarm.lua",
        old="if is_wrong_type(known) or not known[1] or (tonumber(known[2] or '0') or 0) ~= generation then\n"
        "  return {0, ''}",
        new="if is_wrong_type(known) or not known[1] then\n  return {0, ''}",
        needs_pods=True,
        within=3000,
        needs_warm=True,
        unseen_because="The agent has read the record just before: it must change in between",
        test="tests/contract/test_store_warm.py::test_another_generation_gets_nothing",
    ),
    Mutant(
        name="what is not to be launched gets a waiting pod",
        file=f"{_LUA}/givewarm.lua",
        old="if state ~= 'submitted' then\n  return {0, ''}\nend\n",
        new="",
        needs_pods=True,
        within=3000,
        needs_warm=True,
        unseen_because="The agent has read the record just before: it must change in between",
        test="tests/contract/test_store_warm.py::test_an_attempt_that_has_started_or_ended_gets_no_pod",
    ),
    Mutant(
        name="a waiting pod that is given away is not told",
        file=f"{_LUA}/givewarm.lua",
        old="shared('XADD', events_key, '*', 'attempt', id, 'state', 'pending', 'generation', generation, 'owner', "
        "known[3] or '',\n  'pool', known[4] or '', 'holder', name, 'namespace', namespace, 'schema', SCHEMA)\n",
        new="",
        needs_pods=True,
        within=1000,
    ),
    Mutant(
        name="a waiting pod is given away again",
        file=f"{_LUA}/givewarm.lua",
        old="redis.call('ZREM', warm_ready_key, pod)\n",
        new="",
        needs_pods=True,
        within=1000,
    ),
    Mutant(
        name="an old keeper says which pods wait",
        file=f"{_LUA}/offerwarm.lua",
        old="if (tonumber(shared('HGET', lease_key, 'fence') or '0') or 0) > fence then",
        new="if false then",
        needs_pods=True,
        within=1000,
        needs_warm=True,
        needs=("pause", "refused"),
    ),
    Mutant(
        name="a pod that was given away a moment ago is offered again",
        file=f"{_LUA}/offerwarm.lua",
        old="    seen[taken[i]] = nil\n",
        new="",
        needs_pods=True,
        within=1000,
        needs_warm=True,
    ),
    Mutant(
        name="a waiting pod that was claimed since is deleted",
        file=f"{_WARM}/keeper.py",
        old="            if self._client.delete_pod(pod.namespace, pod.name, uid=pod.uid, version=pod.version):",
        new="            if self._client.delete_pod(pod.namespace, pod.name, uid=pod.uid):",
        within=3000,
        needs_warm=True,
        unseen_because="Pods that were given away are left out before: Redis must lose that in between",
    ),
    Mutant(
        name="after a loss of data an attempt gets a waiting pod beside its own",
        file=f"{_WARM}/choice.py",
        old="        if not reason and self._distrusts_records():",
        new="        if False:",
        within=3000,
        needs_warm=True,
        needs=("flush", "restart", "fall_back"),
    ),
    # ---- the hand-over ----
    Mutant(
        name="the agent that created a pod hands over beside the one that is to do it",
        file="hybrid_executor/agent/launch/preparation.py",
        old="            if record.is_handed_over_by_another(launch.entry.id):",
        new="            if False:",
        within=3000,
        needs_pods=True,
        needs=("no_attach",),
        unseen_because="An agent must get the right to attach in the moment in which another one takes the launch over",
        test="tests/integration/agent/test_agent_own_hand_over.py"
        "::test_an_agent_that_still_has_the_entry_of_the_creation_leaves_the_pod_to_the_other",
    ),
    Mutant(
        name="a pod of another attempt gets the workload",
        file=f"{_WARM}/hand_over.py",
        old="        if warm_state(pod) != CLAIMED or identity is None or identity.attempt != record.id:",
        new="        if warm_state(pod) != CLAIMED:",
        within=3000,
        needs_warm=True,
        unseen_because="Redis must lose that a pod was given away, just before another attempt asks for one",
        test="tests/unit/agent/test_agent_pod_guards.py::test_a_pod_that_was_given_to_another_attempt_is_left_to_it",
    ),
    Mutant(
        name="a workload is written though its attempt is not wanted any more",
        file=f"{_WARM}/writing.py",
        old="        if not self.is_wanted(claimed):",
        new="        if False:",
        within=3000,
        unseen_because="The API refuses the start, and the pod is deleted: that takes as long without the guard",
        test="tests/unit/agent/test_agent_pod_guards.py"
        "::test_the_workload_of_an_attempt_that_was_revoked_just_now_is_not_written",
    ),
    Mutant(
        name="a workload with a lost answer counts as not accepted",
        file=f"{_WARM}/writing.py",
        old='            if acceptance_in(self.read_log(claimed), claimed.record.id) == "accepted":',
        new="            if False:",
        within=1000,
        needs=("attach_unanswered",),
    ),
    Mutant(
        name="a workload with a lost answer counts as accepted",
        file=f"{_WARM}/writing.py",
        old='            if acceptance_in(self.read_log(claimed), claimed.record.id) == "accepted":',
        new="            if True:",
        within=1000,
        needs=("attach_cut", "attach_late"),
    ),
    Mutant(
        name="a pod that has not accepted its workload is left",
        file=f"{_WARM}/writing.py",
        old="        return Abandoned(claimed.launch, claimed.record, claimed.namespace, claimed.name, _uid_of(pod))",
        new="        return Again(claimed.launch, 60.0)",
        within=1000,
        needs=("attach_cut", "attach_late"),
    ),
    Mutant(
        name="a workload is written to a pod that is not ready",
        file=f"{_WARM}/own_pods.py",
        old="        if not self._is_ready(claimed):",
        new="        if False:",
        within=1000,
        unseen_because="The line waits in the pod's input until its program reads it",
        test="tests/integration/agent/test_agent_own_hand_over.py"
        "::test_an_agent_that_dies_in_the_middle_leaves_a_task_that_runs_once",
    ),
    Mutant(
        name="two agents hand over to one pod",
        file=f"{_KUBE}/awaiting_pod.py",
        old="    return [*change_label(LABEL_WORKLOAD, AWAITED, CLAIMED), claimed]",
        new='    return [{"op": "replace", "path": path_of("labels", LABEL_WORKLOAD), "value": CLAIMED}, claimed]',
        needs_pods=True,
        within=3000,
        unseen_because="The record names the entry of the hand-over, and others are dropped",
        test="tests/unit/kube/test_kube_awaiting_pod.py::test_one_agent_begins_to_hand_over",
    ),
    Mutant(
        name="a pod that waits for its workload counts as running",
        file="hybrid_executor/agent/watch/decision.py",
        old="        diagnosis = of_awaiting_pod(diagnosis, runs=awaits)\n",
        new="        pass\n",
        within=1000,
    ),
    Mutant(
        name="a claimed pod that runs counts as a started task",
        file="hybrid_executor/agent/watch/decision.py",
        old='    if diagnosis.phase == "running":\n'
        '        return replace(diagnosis, phase="pending", category=Category.RUNNING)\n',
        new="",
        within=3000,
    ),
    Mutant(
        name="a claimed pod that has accepted nothing may have run its task",
        file="hybrid_executor/agent/watch/decision.py",
        old='    if diagnosis.phase == "failed" and diagnosis.exit_code == NOTHING_RAN:\n'
        "        return replace(diagnosis, category=Category.NOT_HANDED_OVER, task_may_have_started=False)\n",
        new="",
        within=1000,
    ),
    Mutant(
        name="a pod that waits is not handed over",
        file=f"{_LUA}/due.lua",
        old="local entry = check(redis.pcall('XADD', prefix .. LAUNCH .. (known[3] or ''), '*', 'op', 'launch', "
        "'attempt', id,\n    'generation', generation))\n",
        new="local entry = ''\n",
        needs_pods=True,
    ),
    Mutant(
        name="a hand-over is put on the stream again and again",
        file=f"{_LUA}/due.lua",
        old=" or (tonumber(known[4] or '-1') or -1) == generation then",
        new=" then",
        needs_pods=True,
        within=1000,
    ),
    Mutant(
        name="a pod that failed before its start speaks for another pod",
        file=f"{_LUA}/advance.lua",
        old=" or is_of_other_pod then\n",
        new=" then\n",
        needs_pods=True,
        unseen_because="An agent that has just started must launch what Redis has lost",
        test="tests/contract/test_store_hand_overs.py"
        "::test_a_pod_that_failed_before_it_started_says_nothing_about_another_pod_of_the_same_generation",
    ),
    Mutant(
        name="an old pod gets the workload of an attempt with a warm pod",
        file=f"{_LUA}/due.lua",
        old="if (known[6] or '') ~= '' and (tonumber(known[7] or '-1') or -1) == generation then\n  return 0\nend\n",
        new="",
        needs_pods=True,
    ),
    Mutant(
        name="nobody looks after a warm pod whose record does not name it",
        file="hybrid_executor/agent/watch/recording.py",
        old="            if (sighting.awaits or sighting.was_warm)\n",
        new="            if sighting.awaits\n",
        unseen_because="Redis must lose a record just when an agent has claimed the pod",
        test="tests/unit/agent/test_agent_lost_hand_overs.py"
        "::test_the_watcher_has_it_looked_at_where_the_record_does_not_name_it",
    ),
    # ---- workloads that have expired ----
    Mutant(
        name="an expired workload is not asked for",
        file=f"{_LUA}/want.lua",
        old="  'wants', 'workload')\n",
        new="  'wants', '')\n",
        needs_pods=True,
        within=1000,
        needs=("expire",),
        unseen_because="It is launched again some times, and then its owner makes a new workload",
        test="tests/contract/test_store_hand_overs.py"
        "::test_an_owner_is_asked_for_a_new_workload_by_an_event_that_changes_nothing",
    ),
    Mutant(
        name="an attempt gets a new workload though its task is queued as another one",
        file="hybrid_executor/executor/renewal.py",
        old="        workload = made.get(tracked.attempt)\n",
        new="        workload = made.get(tracked.attempt) or context.make_workloads([tracked.workload_id]).get("
        "tracked.workload_id)\n",
        needs_pods=True,
        unseen_because="Its task must be reset while its scheduler is paused and its pod waits",
        test="tests/integration/test_renewal.py"
        "::test_an_attempt_whose_task_is_queued_as_another_one_by_now_gets_no_token",
    ),
    Mutant(
        name="what runs gets a new workload",
        file=f"{_LUA}/renew.lua",
        old="\n    or not is_among(known[1], states) then",
        new=" then",
        needs_pods=True,
        within=3000,
        unseen_because="What has no workload cannot start: it must have got two",
        test="tests/contract/test_store_hand_overs.py"
        "::test_nothing_is_handed_over_or_renewed_where_an_attempt_has_started_or_ended",
    ),
)
