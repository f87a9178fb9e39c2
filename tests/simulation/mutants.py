"""Guards of the store, the executor and the workers, each removed alone: the simulation must notice.

``python -m tests.simulation --mutants`` runs them, and those of the modules
``mutants_of_...``. A mutant is loaded in a process
of its own, so that nothing of it remains: see ``mutating``.
"""

from __future__ import annotations

from tests.simulation.mutant import Mutant
from tests.simulation.mutants_of_agents import AGENT_MUTANTS
from tests.simulation.mutants_of_hand_overs import HAND_OVER_MUTANTS
from tests.simulation.mutants_of_limits import LIMIT_MUTANTS
from tests.simulation.mutants_of_repairs import REPAIR_MUTANTS
from tests.simulation.mutants_of_routes import ROUTE_MUTANTS

_LUA = "hybrid_executor/store/scripts"
_EXECUTOR = "hybrid_executor/executor"
_WORKERS = "workers/hybrid_workers"

MUTANTS = (
    # ---- claim.lua ----
    Mutant(
        name="a claim takes what runs or has ended",
        file=f"{_LUA}/claim.lua",
        old="if state and (state ~= 'submitted' or is_stale or (known[4] and known[4] ~= pool)) then",
        new="if false then",
    ),
    Mutant(
        name="a claim takes what has ended",
        file=f"{_LUA}/claim.lua",
        old="if state and (state ~= 'submitted' or is_stale or (known[4] and known[4] ~= pool)) then",
        new="if state == 'running' then",
    ),
    Mutant(
        name="a claim takes what runs",
        file=f"{_LUA}/claim.lua",
        old="if state and (state ~= 'submitted' or is_stale or (known[4] and known[4] ~= pool)) then",
        new="if state and state ~= 'submitted' and state ~= 'running' then",
    ),
    Mutant(
        name="a claim whose answer was lost is not granted again",
        file=f"{_LUA}/claim.lua",
        old="if state == 'running' and token ~= '' and known[6] == token then",
        new="if false then",
        needs=("unanswered",),
        within=1000,
    ),
    Mutant(
        name="a claim does not wait after a fail-over",
        file=f"{_LUA}/claim.lua",
        old="if unsettled > 0 and (tonumber(known[7] or '0') or 0) <= unsettled then",
        new="if false then",
        needs=("fall_back",),
        within=1000,
    ),
    Mutant(
        name="a claim does not raise the generation",
        file=f"{_LUA}/claim.lua",
        old="generation = generation + 1\n",
        new="generation = generation + 0\n",
        needs=("flush", "restart", "fall_back"),
        within=1000,
    ),
    Mutant(
        name="a claim without a record does not become live",
        file=f"{_LUA}/claim.lua",
        old="  shared('SADD', live_key, id)\n",
        new="",
    ),
    Mutant(
        name="a claim leaves the payload",
        file=f"{_LUA}/claim.lua",
        old="redis.call('DEL', payload_key, overrides_key)\n",
        new="",
    ),
    Mutant(
        name="a claim is not told",
        file=f"{_LUA}/claim.lua",
        old="shared('XADD', events_key, '*', 'attempt', id, 'state', 'running', 'generation', generation, "
        "'owner', owner,\n  'pool', pool, 'holder', worker, 'schema', SCHEMA)\n",
        new="",
    ),
    # ---- advance.lua ----
    Mutant(
        name="a change of another generation is made",
        file=f"{_LUA}/advance.lua",
        old="if (generation and generation ~= known_generation) or is_of_other_pod then",
        new="if is_of_other_pod then",
    ),
    Mutant(
        name="a change from an illegal state is made",
        file=f"{_LUA}/advance.lua",
        old="if not is_among(state, sources) or ",
        new="if ",
    ),
    Mutant(
        name="an end leaves the attempt live for its owner",
        file=f"{_LUA}/advance.lua",
        old="  shared('SREM', prefix .. OWNER .. owner, id)\n",
        new="",
    ),
    Mutant(
        name="an end leaves the attempt live in its pool",
        file=f"{_LUA}/advance.lua",
        old="  shared('SREM', prefix .. LIVE .. pool, id)\n",
        new="",
    ),
    Mutant(
        name="a start or an end leaves the payload",
        file=f"{_LUA}/advance.lua",
        old="  redis.call('DEL', payload_key, overrides_key)\n",
        new="",
    ),
    Mutant(
        name="a change is not told",
        file=f"{_LUA}/advance.lua",
        old="shared('XADD', events_key, '*', 'attempt', id, 'state', to, 'generation', new_generation, "
        "'owner', owner,\n  'pool', pool, 'holder', holder, 'reason', reason, 'namespace', namespace, "
        "'schema', SCHEMA)\n",
        new="",
    ),
    # ---- submit.lua ----
    Mutant(
        name="a repeated submission is written again",
        file=f"{_LUA}/submit.lua",
        old="  elseif generation ~= item.expected_generation or (known[2] and is_among(known[2], terminal)) then",
        new="  elseif false then",
    ),
    Mutant(
        name="a submission of an ended attempt is written",
        file=f"{_LUA}/submit.lua",
        old=" or (known[2] and is_among(known[2], terminal)) then",
        new=" then",
        needs=("unanswered", "late"),
        within=1000,
        unseen_because=(
            "What has ended has another generation, unless it ends between the look at its record and the submission"
        ),
        test="tests/contract/test_store.py::test_an_ended_attempt_is_never_submitted_again",
    ),
    Mutant(
        name="a submission by another owner leaves the attempt with the first",
        file=f"{_LUA}/submit.lua",
        old="    if known[3] and known[3] ~= owner then",
        new="    if false then",
        needs=("kill", "pause"),
        within=1000,
        unseen_because="Redis must lose the adoption of an attempt that is lost in the same seconds",
        test="tests/contract/test_store.py::test_submitting_again_needs_the_generation_that_is_known",
    ),
    # ---- adopt.lua, restore.lua, forget.lua ----
    Mutant(
        name="an adoption leaves the owner",
        file=f"{_LUA}/adopt.lua",
        old="  redis.call('HSET', attempt_key, 'owner', owner)\n",
        new="",
    ),
    Mutant(
        name="an adoption does not move the attempt to its new owner's set",
        file=f"{_LUA}/adopt.lua",
        old="  shared('SADD', owner_key, id)\n",
        new="",
    ),
    Mutant(
        name="an adoption makes an ended attempt live",
        file=f"{_LUA}/adopt.lua",
        old="if not is_among(state, terminal) then",
        new="if true then",
    ),
    Mutant(
        name="a restoration replaces what exists",
        file=f"{_LUA}/restore.lua",
        old="if known[1] and (not replaces_older or known[3] or (tonumber(known[2] or '0') or 0) >= generation) then",
        new="if false then",
        needs=("flush", "restart", "fall_back"),
        within=1000,
    ),
    Mutant(
        name="a restoration replaces what has ended",
        file=f"{_LUA}/restore.lua",
        old=" or known[3] or ",
        new=" or ",
        needs=("flush", "restart", "fall_back"),
        within=1000,
    ),
    # ---- own.lua ----
    Mutant(
        name="a fail-over is not noticed",
        file=f"{_LUA}/own.lua",
        old="local has_moved = known and home ~= '' and known_home and known_home ~= home",
        new="local has_moved = false",
        needs=("fall_back",),
        within=1000,
    ),
    Mutant(
        name="after a fail-over nothing waits",
        file=f"{_LUA}/own.lua",
        old="    redis.call('SET', unsettled_key, string.format('%d', server_time()), 'EX', settling_seconds)\n",
        new="",
        needs=("fall_back",),
        within=1000,
    ),
    # ---- the executor ----
    Mutant(
        name="an event of an older generation is taken in",
        file=f"{_EXECUTOR}/intake.py",
        old="if tracked is not None and event.generation >= tracked.generation:",
        new="if tracked is not None:",
        unseen_because="Events are read before records: a loss must be read in a record before its event is",
        test="tests/integration/test_executor.py"
        "::test_an_event_from_before_an_attempt_was_launched_again_does_not_touch_it",
    ),
    Mutant(
        name="a loss of data is not noticed",
        file=f"{_EXECUTOR}/intake.py",
        old="if batch.epoch != self._epoch:",
        new="if False:",
        needs=("flush", "restart", "fall_back"),
    ),
    Mutant(
        name="no record is read after a loss of data",
        file=f"{_EXECUTOR}/intake.py",
        old="                self._read_all_records()\n                context.pending.repairs |= ALL_REPAIRS\n",
        new="",
        needs=("flush", "restart", "fall_back"),
    ),
    Mutant(
        name="a refused adoption is given back",
        file=f"{_EXECUTOR}/adoption.py",
        old="        elif row is None or not row.is_beating(context.settings.worker_lost_after_seconds):",
        new="        else:",
        unseen_because=(
            "Redis must lose a record just when it is adopted: workers and agents write it again within seconds"
        ),
        test="tests/integration/test_owner_repairs.py::test_a_task_that_sends_heartbeats_is_never_given_back",
    ),
    Mutant(
        name="adoptions that failed are forgotten",
        file=f"{_EXECUTOR}/adoption.py",
        old="    to_adopt.update(attempts)\n",
        new="",
    ),
    Mutant(
        name="what is known of a submission with a lost answer is not read",
        file=f"{_EXECUTOR}/submission.py",
        old="            item.tracked.generation, item.tracked.state = record.generation, record.state\n",
        new="            pass\n",
        unseen_because="A timed repair reads its record within 10 s",
        test="tests/integration/test_executor.py"
        "::test_an_attempt_that_ended_before_its_submission_was_answered_is_told_without_a_timed_repair",
    ),
    Mutant(
        name="a submission that has ended by now is not read again",
        file=f"{_EXECUTOR}/submission.py",
        old="    if tracked.state.is_terminal:\n        context.pending.to_read.add(tracked.attempt)\n",
        new="",
        unseen_because="A timed repair reads its record within 10 s",
        test="tests/integration/test_executor.py"
        "::test_an_attempt_that_ended_before_its_submission_was_answered_is_told_without_a_timed_repair",
    ),
    Mutant(
        name="a superseded run is told",
        file=f"{_EXECUTOR}/reports.py",
        old="        if tracked.is_superseded:\n            return\n",
        new="",
        unseen_because=(
            "Airflow queues no task that its executor has: only an adoption brings two attempts of it together"
        ),
        test="tests/integration/test_executor.py::test_the_forerunner_of_a_resumed_task_ends_by_itself",
    ),
    Mutant(
        name="an older attempt of a key is replaced though it runs",
        file=f"{_EXECUTOR}/context.py",
        old="        if older.state is State.RUNNING:",
        new="        if False:",
        unseen_because="Its task has told Airflow its end already: only the last lines of its log would be missing",
        test="tests/integration/test_executor.py::test_the_forerunner_of_a_resumed_task_ends_by_itself",
    ),
    Mutant(
        name="what Airflow has ended is not revoked",
        file=f"{_EXECUTOR}/revocation.py",
        old="        context.ledger.remove(tracked.attempt)\n        context.pending.to_revoke.add(tracked.attempt)\n",
        new="        context.ledger.remove(tracked.attempt)\n",
        unseen_because=(
            "What is lost is decided before Airflow fails it, and what is live again is revoked by a timed repair"
        ),
        test="tests/integration/test_executor.py::test_a_task_that_airflow_ends_is_revoked",
    ),
    Mutant(
        name="lost workers are not looked for",
        file=f"{_EXECUTOR}/lost.py",
        old="        if suspected:\n            self._conclude(",
        new="        if False:\n            self._conclude(",
    ),
    Mutant(
        name="a silent Redis makes all workers lost",
        file=f"{_EXECUTOR}/lost.py",
        old="        if not context.outage.can_tell_silence(quiet_seconds):\n            return\n",
        new="",
        unseen_because="Tasks that send heartbeats to Airflow are spared by another guard",
        test="tests/integration/test_lost_workers.py"
        "::test_nobody_is_taken_for_lost_who_could_not_be_heard_because_redis_was_away",
    ),
    Mutant(
        name="a task that sends heartbeats is lost",
        file=f"{_EXECUTOR}/lost.py",
        old="[t for t in suspected if t.workload_id not in beating]",
        new="suspected",
    ),
    Mutant(
        name="what a worker says it has is suspected",
        file=f"{_EXECUTOR}/lost.py",
        old="[tracked for tracked in running if tracked.attempt not in in_hand]",
        new="running",
        unseen_because="Tasks that send heartbeats to Airflow are spared by another guard",
        test="tests/integration/test_lost_workers.py::test_a_task_of_a_living_worker_is_left_alone",
    ),
    Mutant(
        name="a lost attempt is submitted again though it has started",
        file=f"{_EXECUTOR}/lost.py",
        old="has_started = row is None or row.state not in _WAITS",
        new="has_started = False",
        unseen_because="Only what Airflow has queued gets a new workload: it ends as revoked in place of failed",
        test="tests/integration/test_lost_data.py"
        "::test_a_pod_that_started_its_task_unseen_is_recorded_so_that_it_can_be_found",
    ),
    Mutant(
        name="messages that got lost are not sent again",
        file=f"{_EXECUTOR}/lost.py",
        old="        if unsent:\n",
        new="        if False:\n",
    ),
    Mutant(
        name="messages that wait are sent again",
        file=f"{_EXECUTOR}/lost.py",
        old="            unsent.update(record.id for record in pool.lost(context.store, untaken))",
        new="            unsent.update(record.id for record in untaken)",
        unseen_because="A task must wait for 30 s in a queue that a worker serves",
        test="tests/integration/test_lost_workers.py::test_a_message_that_waits_in_its_queue_is_not_sent_twice",
    ),
    Mutant(
        name="records are not compared",
        file=f"{_EXECUTOR}/comparison.py",
        old="            elif record.state.is_terminal or record.owner == context.owner:",
        new="            elif record.state.is_terminal:",
        unseen_because="What Airflow waits for is adopted once more, and compared then",
        test="tests/integration/test_executor.py::test_success_frees_the_slot_and_is_told_once",
    ),
    Mutant(
        name="lost records are not written again",
        file=f"{_EXECUTOR}/comparison.py",
        old="        if missing:\n",
        new="        if False:\n",
        needs=("flush", "restart", "fall_back"),
    ),
    Mutant(
        name="attempts that came back are not ended",
        file=f"{_EXECUTOR}/revived.py",
        old="    context.store.attempts.revoke(revived,",
        new="    context.store.attempts.revoke([],",
        needs=("fall_back",),
        within=1000,
    ),
    # ---- the worker ----
    Mutant(
        name="the end of a lost record is not written again",
        file=f"{_WORKERS}/run.py",
        old="if answer.outcome in (Outcome.MISSING, Outcome.STALE) and answer.generation < claim.generation:",
        new="if False:",
        needs=("flush", "restart", "fall_back"),
    ),
    Mutant(
        name="a refused claim is run",
        file=f"{_WORKERS}/run.py",
        old="        if not claim[1].is_granted:",
        new="        if False:",
    ),
    Mutant(
        name="an end that could not be reported is forgotten",
        file=f"{_WORKERS}/run.py",
        old="            return replace(end, untold=state.value)",
        new="            return end",
        unseen_because="Redis must be unavailable for 15 minutes",
        test="tests/unit/workers/test_run.py::test_an_end_that_cannot_be_reported_in_time_is_given_to_the_main_process",
    ),
    Mutant(
        name="a report is about whatever holds the attempt now",
        file=f"{_WORKERS}/reports.py",
        old='    elif record.holder == worker and process_of(record.extra.get("claim_token", "")) == report.process:',
        new="    elif True:",
        unseen_because="Its worker must be cut off when a task process dies, until the attempt runs elsewhere",
        test="tests/unit/workers/test_reports.py::test_a_run_elsewhere_is_not_failed_by_the_loss_of_a_second_delivery",
    ),
    Mutant(
        name="a worker does not say again what ran after a loss of data",
        file=f"{_WORKERS}/heartbeat.py",
        old="            self._witness.say_again(self._store().attempts, active=activity.running)\n",
        new="            pass\n",
        needs=("flush", "restart", "fall_back"),
    ),
    Mutant(
        name="a worker does not write lost records again",
        file=f"{_WORKERS}/heartbeat.py",
        old="            self._store().attempts.restore([_restoration(record) for record in lost])\n",
        new="            pass\n",
        needs=("flush", "restart", "fall_back"),
        unseen_because="After a loss of data its witness writes them as well",
        test="tests/unit/workers/test_heartbeat.py::test_a_running_record_that_redis_lost_is_written_again",
    ),
    Mutant(
        name="a worker does not note what it received",
        file=f"{_WORKERS}/heartbeat.py",
        old="        if news:\n",
        new="        if False:\n",
        unseen_because="With Redis as the broker, what has left its queue is missed all the same",
        test="tests/unit/workers/test_heartbeat.py::test_the_record_of_a_message_that_waits_here_says_so",
    ),
    *AGENT_MUTANTS,
    *REPAIR_MUTANTS,
    *ROUTE_MUTANTS,
    *HAND_OVER_MUTANTS,
    *LIMIT_MUTANTS,
)
