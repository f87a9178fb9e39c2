"""Launches that wait: whose turn it is, and what a refusal keeps back."""

from __future__ import annotations

import itertools
from unittest.mock import Mock

import pytest

from hybrid_executor.agent.launch.entries import Abandoned, HandedOver, HandOverResult, Launch, TakenBack
from hybrid_executor.agent.launch.launcher import AirflowKubernetesScheduler
from hybrid_executor.agent.launch.queue import LaunchQueue, Wait
from hybrid_executor.events import AttemptId, StreamId
from hybrid_executor.fairness import Shares, parse_shares
from hybrid_executor.kube.demand import Demand, demand_of
from hybrid_executor.kube.quantities import quantity
from hybrid_executor.kube.refusal import Refusal
from hybrid_executor.states import State
from hybrid_executor.store import LaunchEntry, Record

_numbers = itertools.count(1)


def launch(queue: str = "", *, at: float = 0.0) -> Launch:
    number = next(_numbers)
    entry = LaunchEntry(id=StreamId(f"{number}-0"), op="launch", attempt=AttemptId(str(number)), generation=1)
    return Launch(entry, queue, accepted_at=at)


def demand(namespace: str = "a", *, account: str = "default", priority: str = "", **requests: str) -> Demand:
    resources = {"requests": {name.replace("_", "/"): amount for name, amount in requests.items()}}
    spec = {
        "serviceAccountName": account,
        "priorityClassName": priority,
        "containers": [{"name": "base", "resources": resources}],
    }
    return demand_of({"spec": spec}, namespace=namespace)


def over(**exceeded: str) -> Refusal:
    amounts = {name.replace("_", "/"): quantity(amount) for name, amount in exceeded.items()}
    if "pods" not in amounts:
        amounts = {f"requests.{name}": amount for name, amount in amounts.items()}
    return Refusal("retry", "full", concerns="demand", exceeded=amounts)


MISSING = Refusal("retry", "no account", concerns="account", most_seconds=10.0)
CLOSED = Refusal("retry", "closed", concerns="namespace")


def filled(*demands: Demand, count: int = 1) -> tuple[LaunchQueue, list[Launch]]:
    queue = LaunchQueue(Shares())
    launches = []
    for one in demands:
        for _ in range(count):
            launches.append(launch())
            queue.add(launches[-1], one)
    return queue, launches


def refuse(queue: LaunchQueue, refused: Launch, refusal: Refusal, *, now: float = 0.0) -> Wait:
    return queue.refused(refused, refusal, now=now, jitter=1.0)


def demands_of(launches: list[Launch]) -> list[Demand | None]:
    return [one.demand for one in launches]


def test_namespaces_have_their_turns_one_after_the_other() -> None:
    queue, _ = filled(demand("a"), count=3000)
    queue.add(launch(), demand("b"))
    taken = queue.take(2, now=0.0)
    assert {one.demand.namespace for one in taken if one.demand} == {"a", "b"}


@pytest.mark.parametrize("others", [[demand("b")], [demand("a", cpu="2")], [demand("b"), demand("a", cpu="2")]])
@pytest.mark.parametrize("taken", [2, 3, 8])
def test_turns_go_on_where_they_were_when_most_of_what_is_taken_is_put_back(others: list[Demand], taken: int) -> None:
    queue, _ = filled(demand("a"), count=100)
    for other in others:
        queue.add(launch(), other)
    went = []
    for _ in range(2 * len(others) + 2):
        first, *rest = queue.take(taken, now=0.0)
        queue.put_back(rest)
        queue.created(first, now=0.0)
        went.append(first.demand)
    assert set(went) == {demand("a"), *others}


def mixed(shares: str, **counts: int) -> LaunchQueue:
    """Return a queue of launches with equal pods: those of the first queue arrived first."""
    made = LaunchQueue(parse_shares(shares))
    for queue, count in counts.items():
        for _ in range(count):
            made.add(launch(queue), demand())
    return made


def queues_of(launches: list[Launch]) -> str:
    return " ".join(one.queue for one in launches)


def test_five_launches_of_one_queue_do_not_wait_for_ten_thousand_of_another() -> None:
    queue = mixed("", big=10_000, small=5)
    assert queues_of(queue.take(10, now=0.0)).split().count("small") == 5


def test_queues_have_their_turns_by_their_shares() -> None:
    queue = mixed("reports=3", etl=100, reports=100)
    assert queues_of(queue.take(40, now=0.0)).split().count("reports") == 30


def test_what_was_taken_and_not_tried_does_not_count_as_a_turn() -> None:
    queue = mixed("", a=50, b=50)
    for _ in range(10):
        [first, *rest] = queue.take(9, now=0.0)
        queue.put_back(rest)
        queue.settled(first)
    assert len(queue) == 90
    assert queue.waiting() == {"a": {"turn": 90}}
    left = queues_of(queue.take(90, now=0.0)).split()
    assert (left.count("a"), left.count("b")) == (45, 45)


def test_launches_of_two_queues_with_equal_pods_wait_for_the_same_quota() -> None:
    queue = mixed("", a=3, b=3)
    refuse(queue, queue.take(1, now=0.0)[0], over(pods="1"))
    assert queue.take(9, now=0.0) == []
    assert len(queue.refusals(0.0)) == 1
    [probe] = queue.take(9, now=1.0)
    queue.created(probe, now=1.0)
    assert queues_of(queue.take(2, now=1.0)) in ("a b", "b a")


def test_within_a_namespace_pods_that_ask_for_different_things_have_their_turns() -> None:
    big, small = demand(cpu="8"), demand(cpu="1")
    queue, _ = filled(big, small, count=3)
    assert demands_of(queue.take(4, now=0.0)) == [big, small, big, small]


def test_launches_of_one_kind_go_in_the_order_in_which_they_came() -> None:
    queue, launches = filled(demand(), count=3)
    assert queue.take(5, now=0.0) == launches
    assert len(queue) == 0


def test_what_is_put_back_is_the_next_to_go() -> None:
    queue, launches = filled(demand(), count=4)
    queue.put_back(queue.take(3, now=0.0))
    assert queue.take(4, now=0.0) == launches


def test_a_refused_gpu_pod_keeps_back_only_those_that_ask_for_as_much() -> None:
    two, four, one, none = (demand(nvidia_gpu=number) for number in ("2", "4", "1", "0"))
    queue, launches = filled(two, four, one, none)
    [refused] = queue.take(1, now=0.0)
    wait = refuse(queue, refused, over(nvidia_gpu="2"))
    assert (wait.is_news, wait.note.startswith("full")) == (True, True)
    assert demands_of(queue.take(9, now=0.1)) == [one, none]
    assert queue.note_of(launches[1]).startswith("full")


def test_a_full_quota_of_pods_keeps_back_all_that_it_counts() -> None:
    high = demand(priority="high")
    queue, _ = filled(demand(cpu="1"), demand(cpu="2"), high)
    [refused] = queue.take(1, now=0.0)
    refuse(queue, refused, over(pods="1"))
    assert demands_of(queue.take(9, now=0.1)) == [high]


def test_a_missing_account_keeps_back_only_its_pods_and_a_closed_namespace_all_of_its_own() -> None:
    other = demand(account="other")
    queue, _ = filled(demand(), demand(cpu="1"), other)
    [refused] = queue.take(1, now=0.0)
    refuse(queue, refused, MISSING)
    assert demands_of(queue.take(9, now=0.1)) == [other]
    queue, _ = filled(demand(), other, demand("b"))
    [refused] = queue.take(1, now=0.0)
    refuse(queue, refused, CLOSED)
    assert demands_of(queue.take(9, now=0.1)) == [demand("b")]


def test_a_launch_that_comes_later_waits_behind_the_same_refusal_and_is_told_why() -> None:
    queue, _ = filled(demand(cpu="2"))
    refuse(queue, queue.take(1, now=0.0)[0], over(cpu="2"))
    more, less = launch(), launch()
    queue.add(more, demand(cpu="3"))
    queue.add(less, demand(cpu="1"))
    assert queue.note_of(more).startswith("full")
    assert queue.note_of(less) == ""
    assert queue.open_count(0.1) == 1


def test_one_launch_at_a_time_tries_and_each_refusal_keeps_them_back_for_longer() -> None:
    queue, _ = filled(demand(), count=5)
    [probe] = queue.take(1, now=0.0)
    now, pauses = 0.0, []
    for _ in range(4):
        pauses.append(refuse(queue, probe, over(pods="1"), now=now).seconds)
        assert queue.take(9, now=now + pauses[-1] - 0.01) == []
        now += pauses[-1]
        assert queue.open_count(now) == 1
        [probe] = queue.take(9, now=now)
    assert pauses == [1.0, 2.0, 4.0, 8.0]


def test_what_was_under_way_when_others_were_refused_says_nothing_new() -> None:
    queue, _ = filled(demand(), count=5)
    first, second, third = queue.take(3, now=0.0)
    assert refuse(queue, first, over(pods="1")).seconds == 1.0
    refuse(queue, second, over(pods="1"), now=0.5)
    refuse(queue, third, over(pods="1"), now=0.9)
    assert queue.open_count(1.0) == 1
    assert len(queue.take(9, now=1.0)) == 1


@pytest.mark.parametrize("kind", [HandedOver, Abandoned, TakenBack])
def test_the_next_one_tries_where_the_pod_of_the_first_was_there_already(kind: type[HandOverResult]) -> None:
    queue, [first, second] = filled(demand(), count=2)
    queue.take(2, now=0)
    for one in (second, first):
        refuse(queue, one, CLOSED)
    assert queue.take(2, now=100) == [first]
    launcher = Mock(spec=AirflowKubernetesScheduler, _queue=queue, _outcomes=Mock(), _intake=Mock())
    record = Record(id=first.entry.attempt, state=State.PENDING, generation=1)
    outcomes: dict[type, HandOverResult] = {
        HandedOver: HandedOver(first, record, "a", "pod", "uid", node="n"),
        Abandoned: Abandoned(first, record, "a", "pod", "uid"),
        TakenBack: TakenBack(first, record, "it ended"),
    }
    AirflowKubernetesScheduler._hand_on(launcher, outcomes[kind])
    assert queue.take(2, now=100) == [second]


def test_a_refusal_lasts_for_as_long_as_the_server_asked() -> None:
    queue, _ = filled(demand())
    refusal = Refusal("retry", "busy", retry_after_seconds=30.0, concerns="alike")
    assert refuse(queue, queue.take(1, now=0.0)[0], refusal).seconds >= 30.0


def test_what_gets_through_lets_more_and_more_try_until_all_may() -> None:
    queue, _ = filled(demand(), count=40)
    refuse(queue, queue.take(1, now=0.0)[0], over(pods="1"))
    waves = []
    now = 1.0
    while len(queue):
        wave = queue.take(100, now=now)
        waves.append(len(wave))
        for one in wave:
            queue.created(one, now=now)
    assert waves[0] == 1
    assert waves[1] == 2
    assert waves[2] == 8
    assert sum(waves) == 40


def test_what_asks_for_least_tries_first_and_does_not_wait_for_what_asks_for_more() -> None:
    queue, _ = filled(demand(cpu="4"), demand(cpu="2"), count=4)
    refuse(queue, next(one for one in queue.take(2, now=0.0) if one.demand == demand(cpu="2")), over(cpu="2"))
    [probe] = queue.take(1, now=1.0)
    assert probe.demand == demand(cpu="2")
    queue.created(probe, now=1.0)
    assert demands_of(queue.take(2, now=1.0)) == [demand(cpu="2")] * 2


def test_a_refusal_that_may_be_for_good_ends_after_its_time_for_each_that_waited_so_long() -> None:
    queue = LaunchQueue(Shares())
    for at in (0.0, 0.0, 8.0):
        queue.add(launch(at=at), demand())
    [probe] = queue.take(1, now=0.0)
    now, ended = 0.0, []
    while len(ended) < 3:
        wait = refuse(queue, probe, MISSING, now=now)
        if wait.is_over:
            ended.append(now)
        if len(queue):
            now += wait.seconds
            [probe] = queue.take(9, now=now)
    assert ended[:2] == [10.0, 10.0]
    assert ended[2] == pytest.approx(18.0)


def test_the_end_of_a_pod_lets_what_waits_for_a_quota_try_at_once() -> None:
    queue, _ = filled(demand(), demand("b", account="other"), count=2)
    for one in queue.take(2, now=0.0):
        refuse(queue, one, over(pods="1") if one.demand == demand() else MISSING)
    queue.hope("a", now=0.1)
    queue.hope("b", now=0.1)
    assert demands_of(queue.take(9, now=0.1)) == [demand()]


def test_the_end_of_a_pod_without_the_scarce_resource_is_no_reason_to_try() -> None:
    gpu = demand(nvidia_gpu="1")
    queue, [waiting] = filled(gpu)
    refuse(queue, *queue.take(1, now=0.0), over(nvidia_gpu="1"))
    queue.hope("a", demand(cpu="1").resources, now=0.1)
    assert queue.take(1, now=0.1) == []
    queue.hope("a", gpu.resources, now=0.2)
    assert queue.take(1, now=0.2) == [waiting]


def test_a_revoked_launch_is_taken_out_and_counts_no_more() -> None:
    queue, launches = filled(demand(), count=2)
    assert queue.remove(launches[0])
    assert not queue.remove(launches[0])
    assert queue.take(9, now=0.0) == [launches[1]]


def test_every_waiting_launch_is_looked_at_in_turn() -> None:
    queue, launches = filled(demand(), count=5)
    looked_at = queue.longest_unchecked(3) + queue.longest_unchecked(3)
    assert looked_at == [*launches, launches[0]]


def test_nothing_is_remembered_once_all_are_through() -> None:
    queue, _ = filled(demand(), demand("b"), count=2)
    taken = queue.take(4, now=0.0)
    refuse(queue, taken[0], over(pods="1"))
    for one in [*taken[1:], *queue.take(1, now=1.0)]:
        queue.created(one, now=1.0)
    assert len(queue) == 0
    assert queue.is_clear
