"""The way from each process to Redis, with the faults of a plan.

How long a message takes follows from seed, process and count alone. So a plan with one fault less has the same times
until that fault would have come.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

import redis

from tests.simulation.faults import FaultsMet
from tests.simulation.plan import ActionKind
from tests.simulation.redis_client import SimulatedRedis
from tests.simulation.redis_server import REFUSALS, RedisServer
from tests.simulation.redis_streams import blocks_on
from tests.simulation.threads import Places
from tests.simulation.world import Process, World

ANSWER_SECONDS = 2.0
"""How long a client waits for an answer."""

_SLOW_SECONDS = 1.6
"""The longest time that a command takes which is answered in time."""

_LATE_SECONDS = 5.0
_AFTER_SECONDS = 10.0
"""How long a process may wait before it asks a Redis again that was unavailable."""

_REPEATED_SECONDS = 2 * ANSWER_SECONDS
_DISTURBED_SECONDS = {
    "slow": _REPEATED_SECONDS, "lost": _REPEATED_SECONDS, "unanswered": _REPEATED_SECONDS, "refused": _REPEATED_SECONDS,
    "late": _REPEATED_SECONDS + _LATE_SECONDS,
}  # fmt: skip
"""How long a fault may disturb that the process does not notice, since the client asks again at once."""

_ATTEMPT = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_RETRIES = 1  # redis-py's own, as the store asks for


class Network:
    """All exchanges with the server.

    :ivar interfere: does what is to happen while a command is on its way, to one of the attempts in it.
    :ivar lost_messages: answers that may have held a message and were lost.
    :ivar unanswered: attempts that were in commands whose answer was lost.
    :ivar held_up: attempts that were in commands which a process was about to send when it was paused.
    """

    def __init__(self, world: World, server: RedisServer, faults: FaultsMet) -> None:
        self._world = world
        self._server = server
        self._faults = faults
        self._blocked: dict[tuple[str, ...], Places] = {}
        self.interfere: Callable[[ActionKind, Sequence[str]], None] = lambda *_: None
        self.lost_messages = 0
        self.unanswered: set[str] = set()
        self.held_up: set[str] = set()
        self._to_repeat: dict[Process, Sequence[Sequence[Any]]] = {}
        server.after_writes.append(self._wake)

    def connect(self, process: Process) -> SimulatedRedis:
        """Return a client of a process."""
        return SimulatedRedis.connect(lambda commands: self._patiently(process, commands))

    def _patiently(self, process: Process, commands: Sequence[Sequence[Any]]) -> list[Any]:
        for retry in range(_RETRIES + 1):
            try:
                return self._exchange(process, commands)
            except (redis.ConnectionError, redis.TimeoutError):
                if retry == _RETRIES:
                    self._faults.disturb(process, _AFTER_SECONDS)
                    raise
                self._hold(process, commands, 0.05)
        raise AssertionError

    def _exchange(self, process: Process, commands: Sequence[Sequence[Any]]) -> list[Any]:
        world, server, choose = self._world, self._server, process.random.random
        process.trips += 1
        there, back, choice = choose(), choose(), choose()
        self._hold(process, commands, 0.004 * there if there < 0.97 else 6 * (there - 0.97))
        fault = self._faults.of_redis(process, commands)
        if fault is not None:
            world.say(f"{fault}: {' '.join(str(command[0]) for command in commands)}")
            self._faults.disturb(process, _DISTURBED_SECONDS.get(fault.kind, _AFTER_SECONDS))
        kind = fault.kind if fault is not None else ""
        if kind == "refused":
            raise redis.ConnectionError("refused")
        if kind == "lost":
            world.sleep(ANSWER_SECONDS)
            raise redis.TimeoutError("lost")
        if kind in ("late", "unanswered"):
            self.unanswered.update(_ATTEMPT.findall(str(commands)))
        if fault is not None and kind == "slow":
            if fault.action:
                self.interfere(fault.action, _ATTEMPT.findall(str(commands)))
            self._hold(process, commands, _SLOW_SECONDS * (0.1 + 0.9 * choice))
        if kind == "late":
            world.after(0.1 + _LATE_SECONDS * choice, lambda: server.run(commands) and None)
            world.sleep(ANSWER_SECONDS)
            raise redis.TimeoutError("late")
        answers = self._run(commands, refusal=kind if kind in REFUSALS else "")
        if "NOSCRIPT" in str(answers):
            self._to_repeat[process] = commands
        elif commands[0][0] != "SCRIPT":
            self._to_repeat.pop(process, None)
        self._hold(process, (), 0.004 * back if back < 0.97 else 6 * (back - 0.97))
        if kind == "unanswered":
            self.lost_messages += any(command[0] == "LMPOP" for command in commands)
            world.sleep(0.0 if choice < 0.5 else ANSWER_SECONDS)
            raise redis.ConnectionError("the answer is lost")
        return answers

    def _hold(self, process: Process, commands: Sequence[Sequence[Any]], seconds: float) -> None:
        """Wait on the way to Redis or back. A process that is paused meanwhile sends what is left when it wakes.

        That is also what it has to send again, once Redis knows the script.
        """
        began = self._world.now
        self._world.sleep(seconds)
        if self._world.now - began > ANSWER_SECONDS:
            self.held_up.update(_ATTEMPT.findall(str([*commands, *self._to_repeat.get(process, ())])))

    def _run(self, commands: Sequence[Sequence[Any]], *, refusal: str) -> list[Any]:
        answers = self._server.run(commands, refusal=refusal)
        waits_for = blocks_on(commands[0]) if len(commands) == 1 else None
        if waits_for is None:
            return answers
        key, seconds = waits_for
        until = self._world.now + seconds
        while answers == [None] and self._world.now < until:
            self.writes_to(key).wait(until - self._world.now)
            answers = self._server.run(commands)
        return answers

    def writes_to(self, *keys: str) -> Places:
        """Return where to wait for a change of one of these keys."""
        places = self._blocked.get(keys)
        if places is None:
            places = self._blocked[keys] = Places(self._world)
        return places

    def _wake(self, written: Collection[str]) -> None:
        for keys, places in self._blocked.items():
            for key in keys:
                if key in written:
                    places.wake()
                    break
