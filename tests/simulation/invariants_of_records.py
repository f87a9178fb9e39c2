"""What must hold at each write to Redis: in each record, in what follows from its state, in leases and limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from hybrid_executor.states import TERMINAL_STATES, State
from hybrid_executor.store.keys import Keys
from hybrid_executor.targets import place_name
from tests.simulation.names import INSTANCE, MOST

if TYPE_CHECKING:
    from tests.simulation.redis_server import RedisServer

TERMINAL = frozenset(state.value for state in TERMINAL_STATES)

_NEWEST_EVENTS = 50


class Records:
    """Looks at each record that is written: what has ended stays so, and all that follows from a state is there.

    :param most_starting: how many pods may start at the same time, 0 for a limit that adapts.
    :param pods_per_second: how many pods may be created.
    :param lives: returns whether a worker of this life lives, and does not end.
    :param has_long_started: returns whether Airflow has had the task of an attempt as running for some seconds.
    :ivar claims: attempts and the generations in which workers have claimed them.
    """

    def __init__(
        self,
        server: RedisServer,
        *,
        most_starting: int,
        pods_per_second: float,
        lives: Callable[[str], bool],
        has_long_started: Callable[[str], bool],
    ) -> None:
        self._server = server
        self._keys = keys = Keys(INSTANCE)
        self._most_starting = most_starting
        self._most_tokens = max(1, int(pods_per_second))
        self._lives = lives
        self._has_long_started = has_long_started
        self._prefix, self._owner_prefix, self._place_prefix = keys.attempt(""), keys.owner(""), keys.place("")
        self._live_prefix = keys.live("")
        self._looks: tuple[tuple[str, Callable[[str], None]], ...] = (
            (keys.lease(""), self._look_at_lease),
            (keys.rate(""), self._look_at_rate),
            (keys.starting(""), self._look_at_starting),
            (keys.member("worker", ""), self._look_at_worker),
        )
        self._known: dict[str, tuple[str, int]] = {}
        self.claims: dict[tuple[str, int], None] = {}
        self._leases: dict[str, tuple[str, int, int]] = {}
        self._workers: dict[str, str] = {}
        self._owners: dict[str, None] = {}
        self._places: dict[str, None] = {}
        self._is_after_loss = False
        self.violations: list[str] = []
        server.after_writes.append(self._look)

    def forget(self) -> None:
        """Redis has lost data: what was known before need not hold any more, only what it holds now."""
        self._known.clear()
        self._leases.clear()
        self._workers.clear()
        self._is_after_loss = True
        for key in self._server.all_keys():
            record = self._server.peek(key) if key.startswith(self._prefix) else None
            if isinstance(record, dict) and "state" in record:
                self._known[key.removeprefix(self._prefix)] = record["state"], int(record.get("generation", "0"))

    def was_revoked(self, attempt: str) -> bool:
        """Return whether an attempt has ended as revoked."""
        return self._known.get(attempt, ("", 0))[0] == State.REVOKED.value

    def _look(self, written: Iterable[str]) -> None:
        touched: dict[str, Any] = {}
        has_changed_sets = False
        for key in written:
            if key.startswith(self._prefix):
                touched[key.removeprefix(self._prefix)] = self._server.peek(key)
            elif key.startswith(self._owner_prefix):
                self._owners[key] = None
                has_changed_sets = True
            elif key.startswith(self._place_prefix):
                self._places[key] = None
                has_changed_sets = True
            elif key.startswith(self._live_prefix):
                has_changed_sets = True
            else:
                for prefix, look in self._looks:
                    if key.startswith(prefix):
                        look(key)
        if not touched and not has_changed_sets:
            return
        sets = Sets(self._server, owners=self._owners, places=self._places)
        if not self._is_after_loss:
            for place, members in sets.places.items():
                if len(members) > MOST.get(place.removeprefix(self._place_prefix), 99):
                    self.violations.append(f"{len(members)} attempts are at {place}")
        for attempt, record in touched.items():
            if isinstance(record, dict) and "state" in record:
                self._look_at(attempt, record, sets)
            elif record is None and attempt in self._known:
                self._look_at_deletion(attempt)
        if has_changed_sets and not self._is_after_loss:
            for attempt, (state, _) in self._known.items():
                if attempt not in touched and (record := self._server.peek(self._prefix + attempt)):
                    self._look_at_sets(attempt, record, sets, is_live=state not in TERMINAL)

    def _look_at(self, attempt: str, record: Mapping[str, str], sets: Sets) -> None:
        state, generation, name = record["state"], int(record.get("generation", "0")), attempt[:8]
        before = self._known.get(attempt)
        self._known[attempt] = state, generation
        if state == "running" and record.get("pool") == "celery":
            self.claims[attempt, generation] = None
        if before is not None:
            if before[0] in TERMINAL and state != before[0]:
                self.violations.append(f"attempt {name} was {before[0]} and is {state}")
            elif before[0] in TERMINAL and not self._is_after_loss:
                self.violations.append(f"attempt {name} has ended, and its record was written again")
            if generation < before[1]:
                self.violations.append(f"the generation of attempt {name} fell from {before[1]} to {generation}")
            is_anew = state == "submitted" and generation > before[1] and not record.get("leaving")
            if is_anew and self._has_long_started(attempt):
                self.violations.append(f"attempt {name}, whose task runs, was submitted again")
        if before != (state, generation) and not self._is_told(attempt, state, generation):
            self.violations.append(f"no event tells that attempt {name} is {state}")
        self._look_at_sets(attempt, record, sets, is_live=state not in TERMINAL)
        # What is written again after a loss leaves a payload that came back; it goes with the attempt's end.
        is_done_with = state in TERMINAL or (state == "running" and not self._is_after_loss)
        if is_done_with and self._server.peek(self._keys.payload(attempt)) is not None:
            self.violations.append(f"attempt {name} is {state} and has its payload still")

    def _look_at_deletion(self, attempt: str) -> None:
        """Nobody but a loss of data takes the record of a live attempt away."""
        state, _ = self._known.pop(attempt)
        if state not in TERMINAL and not self._is_after_loss:
            self.violations.append(f"the record of attempt {attempt[:8]}, which is {state}, was deleted")

    def _look_at_lease(self, key: str) -> None:
        """A lease is taken from its holder only when its time is over, and then its fencing number rises."""
        lease = self._server.peek(key)
        holder, until, fence = lease["holder"], int(lease["until"]), int(lease["fence"])
        before = self._leases.get(key)
        self._leases[key] = holder, until, fence
        if before is None or not holder or holder == before[0]:
            return
        if before[0] and before[1] > self._server.milliseconds():
            self.violations.append(f"{key} was taken from {before[0]} by {holder} before its time was over")
        if fence <= before[2]:
            self.violations.append(f"{key} went from {before[0]} to {holder} without a new fencing number")

    def _look_at_rate(self, key: str) -> None:
        """No more tokens are kept, and no more are owed, than pods of one second."""
        tokens = float(self._server.peek(key)["tokens"])
        if abs(tokens) > self._most_tokens:
            self.violations.append(f"{key} has {tokens} tokens, and may have or owe {self._most_tokens}")

    def _look_at_starting(self, key: str) -> None:
        """No more pods start than may."""
        count = len(self._server.peek(key) or ())
        if self._most_starting and count > self._most_starting and not self._is_after_loss:
            self.violations.append(f"{count} pods start, and {self._most_starting} may")

    def _look_at_worker(self, key: str) -> None:
        """The announcement of a worker that lives is taken back by nobody else."""
        fields, before = self._server.peek(key), self._workers.get(key, "")
        self._workers[key] = (fields or {}).get("life", "")
        if before and fields is None and self._lives(before):
            self.violations.append(f"{key} was withdrawn while it lives")

    def _look_at_sets(self, attempt: str, record: Mapping[str, str], sets: Sets, *, is_live: bool) -> None:
        name, owner = attempt[:8], record.get("owner", "")
        live = sets.live(self._keys.live(record.get("pool", "")))
        if (attempt in live) != is_live:
            self.violations.append(f"attempt {name} is {record['state']}, which its pool's set does not say")
        owners = [key for key, members in sets.owners.items() if attempt in members]
        if owners != ([self._owner_prefix + owner] if is_live and owner else []):
            names = ", ".join(key.removeprefix(self._owner_prefix) for key in owners) or "nobody"
            self.violations.append(f"attempt {name} of {owner} is {record['state']} and in the sets of {names}")
        if not self._is_after_loss:
            self._look_at_places(attempt, record, sets, is_live=is_live)

    def _look_at_places(self, attempt: str, record: Mapping[str, str], sets: Sets, *, is_live: bool) -> None:
        """An attempt is counted where its record says that it is, and no target has more attempts than it may have.

        What was written again after a loss is counted by a later repair.
        """
        counted = [key for key, members in sets.places.items() if attempt in members]
        route = record.get("route", "")
        expected = [self._place_prefix + place_name(route, record.get("target", ""))] if route and is_live else []
        if counted != expected:
            self.violations.append(f"attempt {attempt[:8]} is counted at {counted}, not at {expected}")

    def _is_told(self, attempt: str, state: str, generation: int) -> bool:
        events = self._server.peek(self._keys.events)
        if events is None:
            return False
        wanted = ["attempt", attempt, "state", state, "generation", str(generation)]
        return any(fields[:6] == wanted for _, fields in reversed(events.entries[-_NEWEST_EVENTS:]))


class Sets:
    """The sets of live attempts as they are at one moment, each read once.

    :ivar owners: by the key of each owner. :ivar places: by the key of each place.
    """

    def __init__(self, server: RedisServer, *, owners: Iterable[str], places: Iterable[str]) -> None:
        self._server = server
        self.owners = {key: members for key in owners if (members := server.peek(key))}
        self.places = {key: members for key in places if (members := server.peek(key))}
        self._live: dict[str, Any] = {}

    def live(self, key: str) -> Any:
        """Return the members of a pool's set."""
        if key not in self._live:
            self._live[key] = self._server.peek(key) or ()
        return self._live[key]
