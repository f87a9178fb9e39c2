"""The smallest plan that still fails: faults, actions and tasks are left out as long as something does not hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tests.simulation.history import Result, run_plan
from tests.simulation.plan import Plan

_MOST_RUNS = 150


def shrink(result: Result) -> Result:
    """Return the result of a smaller plan with the same kind of violation."""
    kind = kind_of(result)
    left = _MOST_RUNS
    smaller = True
    while smaller:
        smaller = False
        for plan in _smaller(result.plan):
            left -= 1
            if left < 0:
                return result
            tried = run_plan(plan)
            if kind_of(tried) == kind:
                result, smaller = tried, True
                break
    return result


def kind_of(result: Result) -> str:
    """Return what is wrong, without the names of attempts and numbers; "" for nothing."""
    if not result.violations:
        return ""
    words = result.violations[0].split()
    return " ".join(word for word in words if word.isalpha())


def _smaller(plan: Plan) -> Iterator[Plan]:
    for field in ("faults", "actions"):
        items = getattr(plan, field)
        for place in range(len(items)):
            yield replace(plan, **{field: items[:place] + items[place + 1 :]})
    for place in range(len(plan.tasks) - 1, -1, -1):
        if len(plan.tasks) > 1 and not any(action.task >= place for action in plan.actions):
            yield replace(plan, tasks=plan.tasks[:place] + plan.tasks[place + 1 :])
    if plan.warm:
        yield replace(plan, warm=0)
    if plan.pod_token != "args":
        yield replace(plan, pod_token="args")
    if plan.shares:
        yield replace(plan, shares="")
    if plan.starting_pods or plan.pods_per_second < 10:
        yield replace(plan, starting_pods=0, pods_per_second=10.0)
    if plan.schedulers > 1 and not any(f"scheduler-{plan.schedulers - 1}" == f.target for f in plan.faults):
        yield replace(plan, schedulers=plan.schedulers - 1)
    if plan.workers > 1 and not any(f"worker-{plan.workers - 1}" == f.target for f in plan.faults):
        yield replace(plan, workers=plan.workers - 1)
