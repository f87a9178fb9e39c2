"""The table of the Lua scripts: what each one is given, by name and type, in the order of its ``KEYS`` and ``ARGV``.

A class is one script, ``claim.lua`` for :class:`Claim`; an instance is one run of it. In the script, each field is a
local variable of the same name. Its annotation says what it is:

* ``Key`` is an element of ``KEYS``. ``Key | None`` is the last one, left out where it is ``None`` and ``nil`` then.
* ``tuple[Key, ...]`` are all further ``KEYS``; the variable ``<name>_at`` is the index of the first.
* ``bool`` is a boolean, ``int`` and ``float`` are numbers, ``int | None`` is a number or ``nil``.
* ``tuple[State, ...]`` is for the function ``is_among``.
* :data:`Texts` are all further ``ARGV``; the variable ``<name>_at`` is the index of the first.
* Everything else is a string.

Each key is made by :class:`~hybrid_executor.store.keys.Keys`. A script that has to name a key after what it reads gets
the instance's ``prefix``, and the names of the kinds of keys from :mod:`~hybrid_executor.store.keys`.
"""

from __future__ import annotations

from typing import NamedTuple

from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.states import State
from hybrid_executor.store.keys import Key

Texts = tuple[str | int, ...]


class Submit(NamedTuple):
    """Record attempts as submitted. ``proposal`` names an epoch that may have to begin.

    ``destinations`` is a list of ``Destination`` as JSON; see :mod:`~hybrid_executor.store.submit_call`. ``items`` are
    four for each attempt: its ``Sent`` as JSON, the message for the queue, the payload, overrides; each "" for none.
    """

    events_key: Key
    epoch_key: Key
    home_key: Key
    unsettled_key: Key
    other_keys: tuple[Key, ...]
    prefix: str
    terminal: tuple[State, ...]
    payload_seconds: int
    live_seconds: int
    proposal: str
    epoch_seconds: int
    settling_seconds: int
    destinations: str
    items: Texts


class Claim(NamedTuple):
    """Take an attempt for a worker. ``proposal`` names an epoch that may have to begin.

    ``sent_generation`` is the generation that the message was sent for, if it says so.
    """

    attempt_key: Key
    events_key: Key
    payload_key: Key
    overrides_key: Key
    live_key: Key
    epoch_key: Key
    home_key: Key
    unsettled_key: Key
    owner_key: Key | None
    id: AttemptId
    worker: str
    owner: OwnerId
    pool: str
    sent_generation: int | None
    live_seconds: int
    token: str
    proposal: str
    epoch_seconds: int
    settling_seconds: int
    fields: Texts


class Advance(NamedTuple):
    """Change the state of an attempt.

    ``operation`` is put on the launch stream of the record's cluster, "" for nothing. ``acknowledged_id`` is the entry
    of ``acknowledged_key`` that is acknowledged, whether the change is made or not. With ``may_park``, the pod is
    certainly gone and its task has not started: if the attempt is to leave its target, it waits for its owner instead.
    With ``only_pod``, nothing is changed where the record has another pod on its way, or running. With
    ``needs_workload``, nothing is changed where the attempt is for workers.
    """

    attempt_key: Key
    events_key: Key
    payload_key: Key
    overrides_key: Key
    acknowledged_key: Key | None
    prefix: str
    id: AttemptId
    to: str
    sources: tuple[State, ...]
    generation: int | None
    raises_generation: bool
    may_park: bool
    is_terminal: bool
    is_started: bool
    kept_seconds: int
    live_seconds: int
    operation: str
    acknowledged_id: str
    only_pod: str
    needs_workload: bool
    fields: Texts


class Adopt(NamedTuple):
    """Make another scheduler job answer for an attempt."""

    attempt_key: Key
    owner_key: Key
    prefix: str
    id: AttemptId
    owner: OwnerId
    live_seconds: int
    terminal: tuple[State, ...]


class Restore(NamedTuple):
    """Write the lost record of a live attempt again."""

    attempt_key: Key
    events_key: Key
    owner_key: Key
    live_key: Key
    prefix: str
    id: AttemptId
    owner: OwnerId
    pool: str
    state: str
    generation: int
    live_seconds: int
    replaces_older: bool
    fields: Texts


class Annotate(NamedTuple):
    """Write fields of a live record that are no change of state."""

    attempt_key: Key
    fields: Texts


class Forget(NamedTuple):
    """Drop an attempt from its owner's set."""

    attempt_key: Key
    owner_key: Key
    id: AttemptId
    owner: OwnerId
    terminal: tuple[State, ...]


class Erase(NamedTuple):
    """Delete a record of this generation; one that has not ended only with ``is_forced``."""

    attempt_key: Key
    payload_key: Key
    overrides_key: Key
    prefix: str
    id: AttemptId
    generation: int
    is_forced: bool
    terminal: tuple[State, ...]


class Leave(NamedTuple):
    """Let an attempt whose pod has not started leave its target."""

    attempt_key: Key
    prefix: str
    id: AttemptId
    generation: int
    because: str


class Recount(NamedTuple):
    """Write an owner's attempts into the sets that count them, about ``size`` at a time."""

    owner_key: Key
    prefix: str
    cursor: str
    size: int
    live_seconds: int
    terminal: tuple[State, ...]


class SweepPlace(NamedTuple):
    """Drop what is not there any more from the set of a route's target, ``size`` at a time from ``start`` on."""

    place_key: Key
    prefix: str
    route: str
    target: str
    start: int
    size: int
    terminal: tuple[State, ...]


class Sweep(NamedTuple):
    """Drop what has ended or moved on from a pool's set, about ``size`` at a time."""

    live_key: Key
    prefix: str
    pool: str
    cursor: str
    size: int
    terminal: tuple[State, ...]


class Epoch(NamedTuple):
    """Return which data Redis holds, or begin a new epoch."""

    epoch_key: Key
    home_key: Key
    unsettled_key: Key
    proposal: str
    epoch_seconds: int
    settling_seconds: int


class Lease(NamedTuple):
    """Take, renew or give back a lease."""

    lease_key: Key
    is_release: bool
    holder: str
    milliseconds: int


class Rate(NamedTuple):
    """Take tokens from a bucket. The first ``early`` of what is wanted may leave it in debt."""

    rate_key: Key
    wanted: int
    early: int
    per_second: float
    capacity: int


class Starts(NamedTuple):
    """Report what happened to pods on their way to their task's start; ``fixed_limit`` 0 is for an adaptive one."""

    starting_key: Key
    pace_key: Key
    what: str
    fixed_limit: int
    attempts: Texts


class Trim(NamedTuple):
    """Drop old entries of the events stream, but for the newest ``keep_entries``."""

    events_key: Key
    trimmed_key: Key
    keep_entries: int
    keep_milliseconds: int


class Version(NamedTuple):
    """Remember a watch's resource version; ``fence`` 0 is for a writer without a lease."""

    version_key: Key
    lease_key: Key
    version: str
    fence: int
    kept_seconds: int


class Withdraw(NamedTuple):
    """Take an announcement back. ``life`` is that of the worker or agent that ends, "" for any."""

    member_key: Key
    members_key: Key
    name: str
    life: str


class Survey(NamedTuple):
    """Read fields of many records. ``source`` says where the attempts come from; ``least`` is an id of a stream."""

    source_key: Key | None
    prefix: str
    source: str
    cursor: str
    least: str
    size: int
    question: str
    attempts: Texts


class QueuePlace(NamedTuple):
    """Find an attempt's message among ``size`` messages of a list, after those that were looked at (``skip``)."""

    queue_key: Key
    attempt: AttemptId
    skip: int
    size: int


class DropLeft(NamedTuple):
    """Take messages of a pool off a list that can start nothing, among ``size`` of them after the first ``skip``."""

    queue_key: Key
    prefix: str
    pool: str
    skip: int
    size: int
    terminal: tuple[State, ...]


class LaunchPlace(NamedTuple):
    """Find an attempt's launch."""

    launch_key: Key
    attempt: AttemptId


class GiveWarm(NamedTuple):
    """Give a waiting pod to an attempt, or decide that it gets none. It may wait for one that starts.

    With ``is_last_call``, a pod of its own would be created next: it gets one now, where that was decided otherwise.
    """

    attempt_key: Key
    events_key: Key
    warm_ready_key: Key
    warm_taken_key: Key
    warm_starting_key: Key
    warm_waiters_key: Key
    warm_demand_key: Key
    id: AttemptId
    generation: int
    is_last_call: bool
    wait_seconds: int
    bucket_seconds: int
    kept_seconds: int
    live_seconds: int


class OfferWarm(NamedTuple):
    """Say which pods of one kind wait. ``fence`` is the keeper's. The first ``offered_count`` may be given away.

    ``starting`` more will be, soon, and attempts wait for them for ``wait_seconds``; this is known for
    ``starting_seconds``.
    """

    lease_key: Key
    warm_ready_key: Key
    warm_taken_key: Key
    warm_starting_key: Key
    fence: int
    starting: int
    wait_seconds: int
    starting_seconds: int
    kept_seconds: int
    offered_count: int
    pods: Texts


class Due(NamedTuple):
    """Note that a pod waits for its workload, and have it handed over."""

    attempt_key: Key
    prefix: str
    id: AttemptId
    generation: int
    namespace: str
    pod: str


class LeaveGroup(NamedTuple):
    """Remove an agent from the group of a launch stream, unless it has entries."""

    launch_key: Key
    consumer: str


class Want(NamedTuple):
    """Ask the owner of an attempt for a new workload."""

    attempt_key: Key
    events_key: Key
    id: AttemptId
    generation: int


class Renew(NamedTuple):
    """Give an attempt in one of these states a new workload."""

    attempt_key: Key
    payload_key: Key
    generation: int
    states: tuple[State, ...]
    payload: str
    payload_seconds: int
