"""Guards of repairs, of leases, of what is repeated after a lost answer, and of what is kept until it is done."""

from __future__ import annotations

from tests.simulation.mutant import Mutant

_LUA = "hybrid_executor/store/scripts"
_AGENT = "hybrid_executor/agent"
_EXECUTOR = "hybrid_executor/executor"
_WORKERS = "workers/hybrid_workers"
_CLAIM = "                    justid=True,\n                )\n        except ResponseError as error:\n"

REPAIR_MUTANTS = (
    # ---- scripts ----
    Mutant(
        name="a live attempt is dropped from its owner's set",
        file=f"{_LUA}/forget.lua",
        old="if not is_wrong_type(known) and state and not is_among(state, terminal) and known[2] == owner then",
        new="if false then",
        unseen_because="What is live and unknown to its owner was revoked just before, or an adoption adds it again",
        test="tests/contract/test_store.py::test_ended_members_are_dropped_from_an_owners_set",
    ),
    Mutant(
        name="a live attempt is dropped from its pool's set",
        file=f"{_LUA}/sweep.lua",
        old="if is_wrong_type(known) or not state or is_among(state, terminal) or (known[2] and known[2] ~= pool) then",
        new="if true then",
    ),
    Mutant(
        name="an adoption leaves the attempt in its old owner's set",
        file=f"{_LUA}/adopt.lua",
        old="  if known_owner and known_owner ~= owner then",
        new="  if false then",
    ),
    Mutant(
        name="a lease is taken from its holder",
        file=f"{_LUA}/lease.lua",
        old="  if known_holder ~= '' and valid_until > now then",
        new="  if false then",
        needs_pods=True,
    ),
    Mutant(
        name="a lease that changes hands keeps its fencing number",
        file=f"{_LUA}/lease.lua",
        old="    return 0\n  end\n  fence = fence + 1\n",
        new="    return 0\n  end\n",
        needs_pods=True,
    ),
    Mutant(
        name="a note makes a record of an attempt that has none",
        file=f"{_LUA}/annotate.lua",
        old="if is_wrong_type(known) or not known[1] or known[2] then",
        new="if known[2] then",
    ),
    Mutant(
        name="an outcome for another generation leaves its launch on the stream",
        file=f"{_LUA}/advance.lua",
        old="  acknowledge()\n  return {-2,",
        new="  return {-2,",
        needs_pods=True,
    ),
    Mutant(
        name="what was trimmed is not remembered",
        file=f"{_LUA}/trim.lua",
        old="  redis.call('SET', trimmed_key, last, 'EX', 604800)\n",
        new="",
        within=200,
        unseen_because="Timed repairs compare all attempts with their records, only later",
        test="tests/contract/test_store.py::test_a_reader_is_told_that_entries_after_its_cursor_were_trimmed",
    ),
    Mutant(
        name="an old watcher replaces the version of the new one",
        file=f"{_LUA}/version.lua",
        old="if fence > 0 and (tonumber(shared('HGET', lease_key, 'fence') or '0') or 0) > fence then",
        new="if false then",
        needs_pods=True,
        within=200,
        unseen_because="A watch that begins at an older version sees some events twice",
        test="tests/contract/test_store_sharing.py::test_a_fenced_watcher_cannot_write_its_version",
    ),
    # ---- the store ----
    Mutant(
        name="a renewal of entries that are lost ends the launcher",
        file="hybrid_executor/store/streams.py",
        old=f'{_CLAIM}            if code_of(error) != "NOGROUP":\n',
        new=f"{_CLAIM}            if True:\n",
        needs_pods=True,
        within=3000,
    ),
    # ---- the executor ----
    Mutant(
        name="an end that was known at the submission is not told",
        file=f"{_EXECUTOR}/context.py",
        old="        if is_known and state is not State.LOST and not state.is_terminal:",
        new="        if is_known and state is not State.LOST:",
        within=3000,
    ),
    Mutant(
        name="an attempt is submitted again though its task is queued as another one",
        file=f"{_EXECUTOR}/resubmission.py",
        old="    if isinstance(workload, Exception) or not context.trusts_ids:",
        new="    if True:",
        within=1000,
        unseen_because=(
            "A scheduler must be paused while another one queues its task, and Redis lose its data after that"
        ),
        test="tests/integration/test_lost_data.py"
        "::test_an_attempt_whose_task_is_queued_as_another_one_by_now_is_not_submitted_again",
    ),
    Mutant(
        name="a scheduler that was stopped submits what another one has queued",
        file=f"{_EXECUTOR}/still_queued.py",
        old="    if not waiting or not context.is_late or not context.outage.may_ask():",
        new="    if True:",
        within=3000,
    ),
    Mutant(
        name="a scheduler that was stopped in the middle of a loop submits what another one has queued",
        file=f"{_EXECUTOR}/still_queued.py",
        old="    _look_at_clock(context)\n    context.turned_at",
        new="    context.turned_at",
        unseen_because="It must be stopped while a task waits for a place on its target",
        test="tests/integration/test_owner_repairs.py"
        "::test_a_scheduler_that_was_stopped_submits_nothing_that_another_one_has_queued_since",
    ),
    Mutant(
        name="a lost attempt that came back with older data is not decided",
        file=f"{_EXECUTOR}/comparison.py",
        old="            elif record.owner == context.owner and record.state is State.LOST:",
        new="            elif False:",
        needs_pods=True,
        within=3000,
        unseen_because="Redis must fall back to the moment between a loss and the submission that follows",
        test="tests/integration/test_lost_data.py"
        "::test_a_lost_attempt_is_submitted_again_although_redis_fell_back_to_before_the_last_submission",
    ),
    Mutant(
        name="a lost attempt is submitted again though Airflow has another one for its task",
        file=f"{_EXECUTOR}/lost.py",
        old='            is_ours = row is None or row.attempt in ("", tracked.attempt)',
        new="            is_ours = True",
        within=3000,
        unseen_because="The submission looks once more whose the task is",
        test="tests/integration/test_lost_workers.py"
        "::test_a_lost_attempt_whose_task_is_queued_as_another_one_fails_alone",
    ),
    Mutant(
        name="a lost attempt whose task ended well has failed",
        file=f"{_EXECUTOR}/lost.py",
        old="row.attempt == tracked.attempt and row.state in _ENDED_WELL",
        new="False",
        within=1000,
        unseen_because="It ends as revoked, and Airflow has the end from the task itself",
        test="tests/integration/test_lost_data.py::test_a_lost_pod_of_a_task_that_was_deferred_fails_nothing",
    ),
    Mutant(
        name="an attempt is adopted though Airflow has another one for its task",
        file=f"{_EXECUTOR}/adoption.py",
        old="        if row is None or row.attempt != attempt or row.queued_by",
        new="        if row is None or row.queued_by",
        within=1000,
        unseen_because="Airflow must reset a task whose adoption waits for Redis",
        test="tests/integration/test_owner_repairs.py"
        "::test_what_could_not_be_looked_up_is_left_alone_if_its_task_is_queued_as_another_attempt_by_then",
    ),
    Mutant(
        name="what came back with older data is revoked though Airflow waits for it",
        file=f"{_EXECUTOR}/revived.py",
        old="        if row is None or row.attempt != record.id or row.state not in compat.UNFINISHED:",
        new="        if True:",
        within=1000,
        unseen_because=("Redis must lose an adoption whose first scheduler was paused and goes on"),
        test="tests/integration/test_owner_repairs.py"
        "::test_what_is_ours_again_because_redis_lost_an_adoption_is_not_revoked_while_airflow_waits_for_it",
    ),
    Mutant(
        name="what is to be adopted is revoked",
        file=f"{_EXECUTOR}/revived.py",
        old="        if context.ledger.get(attempt) is None and attempt not in expected",
        new="        if context.ledger.get(attempt) is None",
        within=1000,
        unseen_because="Airflow's rows say that it is waited for",
    ),
    Mutant(
        name="an attempt that another scheduler answers for is kept",
        file=f"{_EXECUTOR}/comparison.py",
        old="            elif record.state is not State.UNKNOWN:",
        new="            elif False:",
    ),
    Mutant(
        name="what a scheduler knows to run is started again after a fall-back",
        file=f"{_EXECUTOR}/comparison.py",
        old="    return record.state is State.SUBMITTED and record.generation < tracked.generation\n",
        new="    return False\n",
        needs=("fall_back",),
        within=10_000,
        unseen_because="Its worker must die just before the fall-back: else it writes its claim again",
        test="tests/integration/test_lost_data.py"
        "::test_what_runs_is_not_started_again_by_a_worker_after_redis_fell_back_to_before_its_start",
    ),
    Mutant(
        name="an attempt without a record is ended though its task runs",
        file=f"{_EXECUTOR}/comparison.py",
        old="        if row is None or row.attempt != tracked.attempt:\n            end(context, tracked)\n",
        new="        if True:\n            end(context, tracked)\n",
        within=1000,
        unseen_because="The task goes on and tells Airflow its end: only its slot is free too early",
        test="tests/integration/test_lost_data.py"
        "::test_a_task_that_started_unseen_is_answered_for_after_its_record_was_lost",
    ),
    Mutant(
        name="a revocation is forgotten before it is done",
        file=f"{_EXECUTOR}/revocation.py",
        old="    attempts = set(context.pending.to_revoke)\n",
        new="    attempts = set(context.pending.to_revoke)\n    context.pending.to_revoke -= attempts\n",
        within=1000,
        needs=("take_back",),
        unseen_because="Redis must refuse two revocations in a row, and the attempt must still wait after them",
        test="tests/integration/test_executor.py::test_a_revocation_that_redis_refuses_is_made_later",
    ),
    Mutant(
        name="a stuck task's revocation is forgotten before it is done",
        file=f"{_EXECUTOR}/revocation.py",
        old="    context.pending.to_revoke.add(attempt)\n    return waited_for",
        new="    return waited_for",
        within=2000,
        needs=("take_back",),
    ),
    Mutant(
        name="what was taken back before a fall-back is not taken back again",
        file=f"{_EXECUTOR}/intake.py",
        old="                revoke_again(context)\n",
        new="",
        within=10_000,
        needs=("fall_back",),
        unseen_because="The repair of what is live again revokes it in the same loop, if Airflow's database answers",
        test="tests/integration/test_fallen_back.py"
        "::test_what_airflow_took_back_just_before_is_taken_back_again_whoever_it_belonged_to",
    ),
    Mutant(
        name="a task whose attempt was taken back by a scheduler that died is adopted",
        file=f"{_EXECUTOR}/adoption.py",
        old=" and record.category == TAKEN_BACK\n",
        new=" and False\n",
        within=10_000,
        needs=("kill",),
        unseen_because="A scheduler must die in the milliseconds between the revocation and Airflow's commit",
        test="tests/integration/test_owner_repairs.py"
        "::test_a_task_whose_scheduler_died_while_airflow_took_it_back_is_given_back_and_one_that_a_person_revoked_is_not",
    ),
    Mutant(
        name="what Airflow does not wait for is not looked for",
        file=f"{_EXECUTOR}/unawaited.py",
        old="        sure = [tracked for tracked in found if now - since[tracked.attempt] >= _SURE_AFTER_SECONDS]\n",
        new="        sure = []\n",
        within=10_000,
        unseen_because="In a history it starts soon, and the API refuses it: only what waits for ever shows it",
        test="tests/integration/test_unawaited.py"
        "::test_the_pod_of_a_task_that_nobody_waits_for_is_deleted_at_the_second_look",
    ),
    Mutant(
        name="after a loss of data what Airflow does not wait for waits for its turn",
        file=f"{_EXECUTOR}/unawaited.py",
        old="        after = 0.0 if",
        new="        after = _AFTER_SECONDS if",
        within=10_000,
        needs_pods=True,
        needs=("fall_back",),
        unseen_because="The API refuses the start, unless the task is deferred and queued again in these seconds",
        test="tests/integration/test_unawaited.py"
        "::test_after_a_loss_of_data_what_has_another_attempt_by_now_does_not_wait_for_its_turn",
    ),
    Mutant(
        name="a task that has just run to its end is not waited for at the first look",
        file=f"{_EXECUTOR}/unawaited.py",
        old="        sure = [tracked for tracked in found if now - since[tracked.attempt] >= _SURE_AFTER_SECONDS]\n",
        new="        sure = found\n",
        within=10_000,
        needs_pods=True,
        unseen_because="Only its log would be missing",
        test="tests/integration/test_unawaited.py"
        "::test_the_pod_of_a_task_that_nobody_waits_for_is_deleted_at_the_second_look",
    ),
    Mutant(
        name="a pod without its workload keeps an attempt from the workers",
        file=f"{_LUA}/advance.lua",
        old="if needs_workload and pool ~= '' and pool ~= 'kubernetes' then",
        new="if false then",
        within=10_000,
        needs_pods=True,
        needs=("fall_back",),
    ),
    # ---- the worker ----
    Mutant(
        name="a report is forgotten before it is delivered",
        file=f"{_WORKERS}/reports.py",
        old="            except HybridError:\n                raise\n",
        new="            except HybridError:\n                self._waiting.popleft()\n                raise\n",
        within=3000,
        needs=("time_out", "lose_process"),
        unseen_because="The worker's witness has the end as well, and tells it",
        test="tests/unit/workers/test_reports.py::test_what_redis_could_not_be_told_is_told_later",
    ),
    Mutant(
        name="an attempt whose task runs elsewhere has failed",
        file=f"{_WORKERS}/run.py",
        old='category="duplicate"), State.LOST',
        new='category="duplicate"), State.FAILED',
        unseen_because="Redis must lose the claim of a running task, and its worker not write it again",
        test="tests/unit/workers/test_run.py::test_what_the_api_server_runs_elsewhere_is_not_failed",
    ),
    Mutant(
        name="what has ended is ended again in a newer generation",
        file=f"{_WORKERS}/witness.py",
        old="    if record is None or record.state.is_terminal or record.generation > note.generation:",
        new="    if record is None or record.state.is_terminal:",
        within=1000,
        unseen_because="After a fall-back nothing is claimed until workers have written their ends again",
        test="tests/unit/workers/test_witness.py::test_the_end_of_an_earlier_run_does_not_end_a_later_one",
    ),
    # ---- the agent ----
    Mutant(
        name="a launch after a loss of data does not look for pods of before",
        file=f"{_AGENT}/data_loss.py",
        old="            self._is_news = True\n            self.suspect()\n",
        new="            self._is_news = True\n",
        within=3000,
        unseen_because="The second pod has the same name, and the API server refuses it",
        test="tests/unit/agent/test_agent_leases.py::test_an_epoch_is_made_once_and_its_loss_is_suspicious_for_a_while",
    ),
    Mutant(
        name="a deletion is forgotten before it is done",
        file=f"{_AGENT}/launch/launcher.py",
        old="            self.delete_pod(entry.pod, entry.namespace, "
        "on_done=lambda: self._intake.acknowledge(entry))\n",
        new="            self._intake.acknowledge(entry)\n            self.delete_pod(entry.pod, entry.namespace)\n",
        within=300,
        unseen_because="Each list of all pods finds pods of attempts that have ended",
        test="tests/unit/agent/test_agent_documented_names.py"
        "::test_launches_and_deletions_go_through_the_documented_methods",
    ),
    Mutant(
        name="an agent that leaves takes with it what it has just got",
        file=f"{_LUA}/leavegroup.lua",
        old="if held.err or held[1] then",
        new="if held.err then",
        within=10_000,
        needs_pods=True,
        needs=("stop",),
    ),
    Mutant(
        name="a launch that nobody makes is not put on the stream again",
        file=f"{_AGENT}/reaper.py",
        old="                stream.put_again(record.id, generation=record.generation)\n",
        new="                pass\n",
        within=1000,
    ),
)
