"""Guards of limits, of what is counted, and of what people and processes take back, each removed alone."""

from __future__ import annotations

from tests.simulation.mutant import Mutant

_LUA = "hybrid_executor/store/scripts"

LIMIT_MUTANTS = (
    # ---- pods that start ----
    Mutant(
        name="more pods start than may",
        file=f"{_LUA}/starts.lua",
        old="  local granted = math.min(wanted, room)\n",
        new="  local granted = wanted\n",
        needs_pods=True,
    ),
    Mutant(
        name="what will not start counts as starting",
        file=f"{_LUA}/starts.lua",
        old="  if score == 0 or what == 'leave' then\n    redis.call('ZREM', starting_key, ARGV[i])\n",
        new="  if score == 0 or what == 'leave' then\n",
        needs_pods=True,
        within=3000,
    ),
    Mutant(
        name="what has started counts as starting",
        file=f"{_LUA}/starts.lua",
        old="  redis.call('ZREM', starting_key, attempt)\nend\n",
        new="end\n",
        needs_pods=True,
        within=1000,
    ),
    Mutant(
        name="what never started counts as starting for ever",
        file=f"{_LUA}/starts.lua",
        old="redis.call('ZREMRANGEBYSCORE', starting_key, '-inf', now)\n",
        new="",
        needs_pods=True,
        within=3000,
    ),
    # ---- the rate of pods ----
    Mutant(
        name="more pods are created than the rate allows",
        file=f"{_LUA}/rate.lua",
        old="local granted = math.max(0, math.min(wanted, math.floor(tokens)), "
        "math.min(early, math.floor(tokens + capacity)))\n",
        new="local granted = wanted\n",
        needs_pods=True,
        within=1000,
    ),
    Mutant(
        name="what was not created in hours may be created at once",
        file=f"{_LUA}/rate.lua",
        old="local tokens = math.min(capacity, (tonumber(known[1] or capacity) or capacity)\n"
        "  + math.max(0, now - (tonumber(known[2] or now) or now)) * per_second / 1000)\n",
        new="local tokens = (tonumber(known[1] or capacity) or capacity)\n"
        "  + math.max(0, now - (tonumber(known[2] or now) or now)) * per_second / 1000\n",
        needs_pods=True,
    ),
    Mutant(
        name="the rate is used up for ever",
        file=f"{_LUA}/rate.lua",
        old="\n  + math.max(0, now - (tonumber(known[2] or now) or now)) * per_second / 1000)\n",
        new=")\n",
        needs_pods=True,
    ),
    # ---- places of targets ----
    Mutant(
        name="what is at a target is not counted there any more",
        file=f"{_LUA}/sweepplace.lua",
        old="  if is_wrong_type(known) or not state or is_among(state, terminal) or known[2] ~= route "
        "or known[3] ~= target then",
        new="  if true then",
        needs_pods=True,
        within=1000,
    ),
    Mutant(
        name="what has ended is counted again",
        file=f"{_LUA}/recount.lua",
        old=" and not is_among(state, terminal) and route",
        new=" and route",
        needs_pods=True,
        within=1000,
        unseen_because="What has ended is not in its owner's set, whose attempts are counted",
        test="tests/contract/test_store_places.py::test_what_has_ended_is_not_counted_again",
    ),
    Mutant(
        name="what has started leaves its target",
        file=f"{_LUA}/leave.lua",
        old="if is_wrong_type(known) or (state ~= 'launching' and state ~= 'pending')\n    or ",
        new="if is_wrong_type(known)\n    or ",
        needs_pods=True,
        within=3000,
    ),
    # ---- what is taken back ----
    Mutant(
        name="the record of a live attempt is deleted",
        file=f"{_LUA}/erase.lua",
        old="if not is_among(state, terminal) and not is_forced then",
        new="if false then",
        within=1000,
    ),
    Mutant(
        name="a record that has changed is deleted",
        file=f"{_LUA}/erase.lua",
        old="if known_generation ~= generation then\n  return -2\nend\n",
        new="",
        within=300,
        unseen_because="What has ended does not change any more, and a live record is kept by another guard",
        test="tests/contract/test_store.py::test_a_record_that_has_changed_since_it_was_read_is_not_deleted",
    ),
    Mutant(
        name="the announcement of another life is withdrawn",
        file=f"{_LUA}/withdraw.lua",
        old="if life ~= '' and known_life and known_life ~= life then",
        new="if false then",
        within=10_000,
        unseen_because="A worker's last words must come when its successor has announced itself under its name",
        test="tests/unit/workers/test_heartbeat.py"
        "::test_of_two_workers_with_one_name_the_younger_leaves_and_is_heard_under_another_name",
    ),
)
