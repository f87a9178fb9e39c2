"""Guards of routes with several targets, each removed alone: moves, limits, and what is left behind."""

from __future__ import annotations

from tests.simulation.mutant import Mutant

_LUA = "hybrid_executor/store/scripts"

ROUTE_MUTANTS = (
    Mutant(
        name="a message from before a move is claimed",
        file=f"{_LUA}/claim.lua",
        old="if state and (state ~= 'submitted' or is_stale or (known[4] and known[4] ~= pool)) then",
        new="if state and state ~= 'submitted' then",
        needs_pods=True,
        within=1000,
    ),
    Mutant(
        name="a target takes more than its limit",
        file=f"{_LUA}/submit.lua",
        old="  elseif is_full(destination, id) then",
        new="  elseif false then",
        needs_pods=True,
        needs=("slow",),
    ),
    Mutant(
        name="what has started moves",
        file=f"{_LUA}/submit.lua",
        old="  elseif item.only_waits and (known[2] ~= 'submitted' or may_have_started(known[7])) then",
        new="  elseif false then",
        needs_pods=True,
        within=1000,
    ),
    Mutant(
        name="a move does not leave the place",
        file=f"{_LUA}/submit.lua",
        old="      leave_place(prefix, known[5], known[6], id)\n",
        new="",
        needs_pods=True,
    ),
    Mutant(
        name="a move does not leave the pool's set",
        file=f"{_LUA}/submit.lua",
        old="      shared('SREM', prefix .. LIVE .. known[4], id)\n",
        new="",
        needs_pods=True,
        unseen_because="The sweep of the pool's set drops it, and the sets of other pools are not looked at",
        test="tests/contract/test_store_places.py::test_a_move_leaves_everything_behind_and_keeps_the_attempt",
    ),
    Mutant(
        name="an end does not leave the place",
        file=f"{_LUA}/advance.lua",
        old="  leave_place(prefix, known[10], known[11], id)\n",
        new="",
        needs_pods=True,
    ),
    Mutant(
        name="an attempt goes on before its pod is gone",
        file=f"{_LUA}/leave.lua",
        old="redis.call('HSET', attempt_key, 'leaving', because)\n",
        new="redis.call('HSET', attempt_key, 'leaving', because, 'state', 'submitted', 'generation', generation + 1)\n",
        needs_pods=True,
    ),
    Mutant(
        name="what leaves its target fails when its pod is gone",
        file=f"{_LUA}/advance.lua",
        old="local is_parked = is_withdrawn or (is_further_launch and leaving ~= '')\n",
        new="local is_parked = false\n",
        needs_pods=True,
        unseen_because="It is launched once more on its target, and is withdrawn again",
        test="tests/contract/test_store_places.py::test_an_attempt_leaves_only_when_its_pod_is_gone",
    ),
    Mutant(
        name="a pod that was deleted for a move counts as failed where nobody saw it go",
        file="hybrid_executor/agent/watch/recording.py",
        old="if change is not None and sighting.is_unseen and change.to is State.FAILED:",
        new="if change is not None and False:",
        unseen_because="The watch must miss its end, and its attempt must have lost another pod",
        test="tests/integration/test_moves.py"
        "::test_a_pod_that_was_deleted_for_a_move_and_that_nobody_saw_go_is_no_failure",
    ),
    Mutant(
        name="what waits where it is does not end when its last pod is gone",
        file="hybrid_executor/executor/moves.py",
        old="            if tracked.stays and not tracked.leaving:\n",
        new="            if tracked.stays:\n",
        needs_pods=True,
        unseen_because="A person must mark it while it waits, and two of its pods must fail then",
        test="tests/integration/test_moves.py"
        "::test_an_attempt_that_airflow_waits_for_no_longer_ends_when_its_last_pod_on_a_target_is_gone",
    ),
    Mutant(
        name="a pod that may still be created counts as absent",
        file="hybrid_executor/agent/launch/withdrawal.py",
        old="            if self._may_be_under_way(withdrawn):\n",
        new="            if False:\n",
        within=2000,
        unseen_because="A creation must be late by seconds just when its attempt is to leave its target",
        test="tests/unit/agent/test_agent_pod_guards.py"
        "::test_a_pod_whose_creation_was_not_answered_is_absent_only_when_its_request_is_over",
    ),
    Mutant(
        name="nobody looks after a launch that is to leave its target",
        file="hybrid_executor/agent/reaper.py",
        old="    if record.leaving and record.state is State.SUBMITTED:\n",
        new="    if record.leaving:\n",
        needs_pods=True,
        within=2000,
    ),
    Mutant(
        name="a launch for another target is made",
        file="hybrid_executor/agent/launch/preparation.py",
        old=" or record.cluster != self._cluster:\n",
        new=":\n",
        within=1000,
        unseen_because="A move raises the generation",
    ),
    Mutant(
        name="a move that Redis has lost is not undone",
        file="hybrid_executor/executor/comparison.py",
        old="    if is_elsewhere and record.state is State.SUBMITTED and record.generation < tracked.generation:",
        new="    if False:",
        needs_pods=True,
        within=10_000,
        unseen_because="Redis must fall back to just before a move",
        test="tests/integration/test_moves.py::test_a_move_that_redis_has_lost_is_made_again",
    ),
    Mutant(
        name="a scheduler does not move what waits too long",
        file="hybrid_executor/executor/moves.py",
        old='            return "wait"\n',
        new='            return ""\n',
        unseen_because="It starts where it is, later",
        test="tests/integration/test_moves.py::test_one_that_waits_too_long_moves_and_starts_only_there",
    ),
)
