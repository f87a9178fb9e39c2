"""Leases kept on this process's own clock."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import fakeredis
import pytest

from hybrid_executor.agent.data_loss import DataLoss
from hybrid_executor.agent.leases import KeptLease, LeaseKeeper
from hybrid_executor.complaints import Complaints
from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.store import Store
from tests.store_view import lease_holder
from tests.waiting import PATIENCE_SECONDS


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server() -> fakeredis.FakeServer:
    return fakeredis.FakeServer()


@pytest.fixture
def store(server: fakeredis.FakeServer) -> Iterator[Store]:
    store = Store(fakeredis.FakeRedis(server=server, decode_responses=True), instance="test")
    yield store
    store.close()


def lease_of(store: Store, holder: str, clock: Clock | None = None) -> KeptLease:
    return KeptLease(store.leases, "watch", holder=holder, seconds=10, clock=clock or Clock())


def test_one_of_two_holds_the_lease(store: Store) -> None:
    first, second = lease_of(store, "first"), lease_of(store, "second")
    assert (first.keep(), second.keep()) == (True, False)
    assert (first.is_held, second.is_held) == (True, False)
    assert second.current is None


def test_a_lease_that_could_not_be_renewed_in_time_is_not_held(store: Store, server: fakeredis.FakeServer) -> None:
    clock = Clock()
    lease = lease_of(store, "first", clock)
    lease.keep()
    server.connected = False
    clock.now += 9.9
    with pytest.raises(StoreUnavailable):
        lease.keep()
    assert lease.is_held
    clock.now += 0.2
    assert not lease.is_held


def test_a_lease_that_is_given_back_goes_to_the_next_at_once_with_a_higher_fence(store: Store) -> None:
    first, second = lease_of(store, "first"), lease_of(store, "second")
    first.keep()
    assert first.current is not None
    fence = first.current.fence
    first.release()
    assert second.keep()
    assert second.current is not None
    assert second.current.fence > fence
    assert not first.is_held


def test_who_steps_back_lets_others_have_a_try(store: Store) -> None:
    clock = Clock()
    lease = lease_of(store, "first", clock)
    lease.keep()
    lease.step_back(15)
    assert not lease.keep()
    clock.now += 15
    assert lease.keep()


def test_the_keeper_takes_new_leases_at_once_and_names_those_it_holds(store: Store) -> None:
    keeper, stop = LeaseKeeper(Complaints()), threading.Event()
    thread = threading.Thread(target=keeper.run, args=(stop,))
    thread.start()
    lease = lease_of(store, "first")
    keeper.add(lease)
    try:
        assert lease.wait_until_held(5)
        assert keeper.held == ["watch"]
    finally:
        stop.set()
        thread.join(PATIENCE_SECONDS)
    keeper.release_all()
    assert lease_holder(store, "watch") == ""


def test_an_epoch_is_made_once_and_its_loss_is_suspicious_for_a_while(store: Store) -> None:
    clock = Clock()
    data_loss = DataLoss(store.events, clock=clock)
    assert not data_loss.check()
    assert not data_loss.check()
    assert not data_loss.is_suspected
    store.client.flushall()
    assert data_loss.check()
    assert data_loss.is_suspected
    assert not data_loss.check()
    clock.now += 3600
    assert not data_loss.is_suspected


def test_a_loss_that_a_launcher_sees_first_is_still_told_to_the_agent(store: Store) -> None:
    data_loss = DataLoss(store.events)
    data_loss.check()
    store.client.flushall()
    data_loss.present()
    assert data_loss.is_suspected
    assert data_loss.check()
    assert not data_loss.check()
