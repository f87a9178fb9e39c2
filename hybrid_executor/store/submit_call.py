"""A batch of submissions as the script takes them. What many of them share is sent once. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypedDict
from uuid import uuid4

from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.states import TERMINAL_STATES
from hybrid_executor.store.changes import Submission
from hybrid_executor.store.epochs import KEPT_SECONDS, SETTLING_SECONDS
from hybrid_executor.store.keys import Key, Keys
from hybrid_executor.store.scripts import calls
from hybrid_executor.targets import place_name


class Destination(TypedDict):
    """What attempts of one call share; ``..._key`` is an index of ``KEYS``, 0 for none.

    ``route`` is "" where nobody counts; at most ``most`` attempts may be in the set ``place_key``, 0 for no limit.
    """

    owner: OwnerId
    pool: str
    route: str
    target: str
    most: int
    place_key: int
    owner_key: int
    live_key: int
    launch_key: int
    queue_key: int


class Sent(TypedDict):
    """One attempt, as JSON: the server parses it faster than the client packs each part.

    ``destination`` is an index of the destinations, from 1; the key of the record is ``KEYS[first_key]``, those of
    payload and overrides follow it. ``because`` is why it goes on to another target. An attempt that ``only_waits`` is
    submitted again only if nothing can have started it, and that is no further launch.
    """

    id: AttemptId
    expected_generation: int
    because: str
    only_waits: bool
    destination: int
    first_key: int
    fields: list[str]


class _Batch:
    """Collects the keys and destinations of one call."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._indexes: dict[tuple[object, ...], int] = {}
        self.keys = [keys.events, keys.epoch, keys.home, keys.unsettled]
        self.destinations: list[Destination] = []

    def place(self, key: Key) -> int:
        """Add a key; return its index in the script."""
        self.keys.append(key)
        return len(self.keys)

    def destination(self, item: Submission) -> int:
        """Return the index in the script of what a submission shares with others."""
        placement = item.placement
        target = placement.target or item.pool
        destination = (item.owner, item.pool, item.cluster, item.queue_key, target, placement.route, placement.most)
        if destination not in self._indexes:
            keys, route = self._keys, placement.route
            self.destinations.append(
                Destination(
                    owner=item.owner,
                    pool=item.pool,
                    route=route,
                    target=target,
                    most=placement.most,
                    place_key=self.place(keys.place(place_name(route, target))) if route else 0,
                    owner_key=self.place(keys.owner(item.owner)),
                    live_key=self.place(keys.live(item.pool)),
                    launch_key=self.place(keys.launch(item.cluster)) if item.cluster else 0,
                    queue_key=self.place(Key(item.queue_key)) if item.queue_key else 0,
                )
            )
            self._indexes[destination] = len(self.destinations)
        return self._indexes[destination]


def submit_call(
    keys: Keys, submissions: Sequence[Submission], *, payload_seconds: int, live_seconds: int
) -> calls.Submit:
    """Return the call that submits a batch in one step."""
    batch = _Batch(keys)
    items: list[str] = []
    for item in submissions:
        submission = Sent(
            id=item.attempt,
            expected_generation=item.expected_generation,
            because=item.placement.because,
            only_waits=item.placement.only_waits,
            destination=batch.destination(item),
            first_key=batch.place(keys.attempt(item.attempt)),
            fields=[str(text) for pair in item.fields.items() for text in pair],
        )
        batch.place(keys.payload(item.attempt))
        if item.overrides:
            batch.place(keys.overrides(item.attempt))
        items += (json.dumps(submission), item.message, item.payload, item.overrides)
    events_key, epoch_key, home_key, unsettled_key, *other_keys = batch.keys
    return calls.Submit(
        events_key=events_key,
        epoch_key=epoch_key,
        home_key=home_key,
        unsettled_key=unsettled_key,
        other_keys=tuple(other_keys),
        prefix=keys.prefix,
        terminal=TERMINAL_STATES,
        payload_seconds=payload_seconds,
        live_seconds=live_seconds,
        proposal=uuid4().hex,
        epoch_seconds=KEPT_SECONDS,
        settling_seconds=SETTLING_SECONDS,
        destinations=json.dumps(batch.destinations),
        items=tuple(items),
    )
