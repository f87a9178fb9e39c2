"""The way from each process to Redis, with the faults of a plan.

How long a message takes follows from seed, process and count alone. So a plan with one fault less has the same times
until that fault would have come.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import redis

from tests.simulation.plan import Fault
from tests.simulation.redis_client import SimulatedRedis
from tests.simulation.redis_server import RedisServer
from tests.simulation.world import EPOCH, Process, World

ANSWER_SECONDS = 2.0
"""How long a client waits for an answer."""

_RETRIES = 1  # redis-py's own, as the store asks for
_TASK_SLOT = "/"


class Network:
    """All exchanges with the server.

    :ivar lost_messages: answers that may have held a message and were lost.
    """

    def __init__(self, world: World, server: RedisServer, faults: Sequence[Fault]) -> None:
        self._world = world
        self._server = server
        self._faults = [fault for fault in faults if fault.is_of_network]
        self._met: set[int] = set()
        self.lost_messages = 0

    def connect(self, process: Process) -> SimulatedRedis:
        """Return a client of a process."""
        return SimulatedRedis(lambda commands: self._patiently(process, commands))

    def _patiently(self, process: Process, commands: Sequence[Sequence[Any]]) -> list[Any]:
        for retry in range(_RETRIES + 1):
            try:
                return self._exchange(process, commands)
            except (redis.ConnectionError, redis.TimeoutError):
                if retry == _RETRIES:
                    raise
                self._world.sleep(0.05)
        raise AssertionError

    def _exchange(self, process: Process, commands: Sequence[Sequence[Any]]) -> list[Any]:
        world, server = self._world, self._server
        process.exchanges += 1
        times = random.Random(f"{world.seed} {process.name} {process.exchanges}")
        there, back = (0.2 * times.random() if times.random() < 0.03 else 0.004 * times.random() for _ in "tb")
        world.sleep(there)
        fault = self._fault_of(process)
        if fault is not None:
            world.say(f"{fault}: {' '.join(str(command[0]) for command in commands)}")
        kind = fault.kind if fault is not None else ""
        if kind == "refused":
            raise redis.ConnectionError("refused")
        if kind == "lost":
            world.sleep(ANSWER_SECONDS)
            raise redis.TimeoutError("lost")
        if kind == "late":
            world.at(world.seconds() + times.uniform(0.1, 5), lambda: server.run(commands) and None)
            world.sleep(ANSWER_SECONDS)
            raise redis.TimeoutError("late")
        answers = server.run(commands, refusal=kind if kind in ("READONLY", "OOM", "LOADING") else "")
        world.sleep(back)
        if kind == "unanswered":
            self.lost_messages += any(str(command[0]).upper() == "RPOP" for command in commands)
            world.sleep(times.choice((0.0, ANSWER_SECONDS)))
            raise redis.ConnectionError("the answer is lost")
        return answers

    def _fault_of(self, process: Process) -> str | Any:
        now, name = self._world.now - EPOCH, process.name.partition(_TASK_SLOT)[0]
        for number, fault in enumerate(self._faults):
            if fault.at > now or fault.target not in ("*", name):
                continue
            if fault.seconds == 0 and number not in self._met:
                self._met.add(number)
                return fault
            if fault.seconds and now < fault.at + fault.seconds:
                return fault
        return None
