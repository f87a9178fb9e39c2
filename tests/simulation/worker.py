"""One Celery worker: the real claim, report and heartbeat; Celery's consumer and pool are a model.

As with Celery: a message that is taken is in no list any more, the task processes take turns, and a worker holds one
more message than it can run. What a killed worker held is lost with it.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Any

import redis

from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.store import Order, Store
from hybrid_workers.activity import Activity, WorkerCard
from hybrid_workers.heartbeat import Heartbeat
from hybrid_workers.reports import Reports
from hybrid_workers.run import Delivery, Disposition, WorkloadRuns
from hybrid_workers.witness import Note, Witness
from tests.simulation.names import INSTANCE, QUEUES
from tests.simulation.network import Network
from tests.simulation.plan import Fault
from tests.simulation.tasks import Tasks
from tests.simulation.world import Process, World

_LOOK_SECONDS = 5.0
_TRY_AGAIN_SECONDS = 0.5
_FIRST_TAKEN = "first_taken"
"""In a message that was given back: when a worker first took it. What has happened since may be lost."""


class DirectWitness(Witness):
    """Carries notes without a pipe."""

    def __init__(self) -> None:
        super().__init__()
        self._notes: list[Note] = []

    def note(self, note: Note) -> None:
        self._notes.append(note)

    def _read(self) -> list[Note]:
        notes, self._notes = self._notes, []
        return notes


class Worker:
    """One worker, from its start until it is killed.

    :param on_end: called when it has ended because it was told to.
    :ivar life: names this life in its announcement.
    """

    def __init__(
        self,
        world: World,
        network: Network,
        process: Process,
        tasks: Tasks,
        *,
        slots: int,
        on_end: Callable[[], None],
    ) -> None:
        self.world = world
        self.network = network
        self.process = process
        self.slots = slots
        self._tasks = tasks
        self.name = f"celery@{process.name}"
        self.waiting: deque[dict[str, Any]] = deque()
        self.running: dict[AttemptId, Process] = {}
        self.messages: dict[AttemptId, dict[str, Any]] = {}
        self._taken_at: dict[AttemptId, float] = {}
        self._client = network.connect(process)
        self._is_draining = self.is_stopping = False
        self._on_end = on_end
        self.life = f"{process.pid:032x}"
        self._news = network.writes_to(*QUEUES)
        self._witness = DirectWitness()
        self._reports = Reports()
        card = WorkerCard(
            self.name,
            queues=QUEUES,
            concurrency=slots,
            processes=slots,
            started_at=world.now,
            life=self.life,
        )
        store = Store(self._client, instance=INSTANCE)
        self._heartbeat = Heartbeat(
            lambda: store,
            card,
            self._reports,
            self._look,
            obey=self._obey,
            queue_prefix="",
            witness=self._witness,
        )

    def start(self) -> None:
        """Begin to consume and to send heartbeats."""
        self.world.start(self.process, self._heartbeat._thread.start)
        self.world.start(self.process, self._consume)

    def stop(self) -> None:
        """Tell it to end, as Celery's warm shutdown: it takes nothing more, and what runs goes on to its end."""
        if not self.is_stopping:
            self.is_stopping = True
            self.world.start(self.process, self._finish)

    def _finish(self) -> None:
        while self.running:
            self.world.sleep(_TRY_AGAIN_SECONDS)
        while self.waiting:
            self._give_back(self.waiting.popleft())
        self._heartbeat.stop()
        self.world.say("has ended", process=self.process)
        self._on_end()

    def _look(self) -> Activity:
        return Activity(
            running=frozenset(self.running),
            waiting=frozenset(AttemptId(message["headers"]["id"]) for message in self.waiting),
        )

    def _obey(self, orders: Iterable[Order]) -> None:
        """A drained worker takes no messages; what it has taken it runs."""
        for order in orders:
            self._is_draining = order.verb == "drain"
        self._news.wake()

    def _consume(self) -> None:
        while True:
            took = has_failed = False
            if not (self._is_draining or self.is_stopping) and len(self.running) + len(self.waiting) < self.slots + 1:
                asked_at = self.world.now  # by its answer, Redis may have lost that it gave the message away
                try:
                    found: Any = self._client.lmpop(len(QUEUES), *QUEUES, direction="RIGHT")
                except (redis.RedisError, OSError):
                    found, has_failed = None, True
                if found is not None:
                    taken = json.loads(found[1][0])
                    self.waiting.append(taken)
                    self._taken_at[AttemptId(taken["headers"]["id"])] = taken.pop(_FIRST_TAKEN, asked_at)
                    took = True
            while self.waiting and len(self.running) < self.slots and not self.is_stopping:
                message = self.waiting.popleft()
                attempt = AttemptId(message["headers"]["id"])
                if attempt in self.running:
                    continue  # Celery's books know it already
                slot = self.world.make_process(f"{self.process.name}/task", parent=self.process)
                self.running[attempt], self.messages[attempt] = slot, message
                self.world.start(slot, lambda message=message, slot=slot: self._run_message(message, slot))
            if has_failed:
                self.world.sleep(_TRY_AGAIN_SECONDS)
            elif not took:
                self._news.wait(_LOOK_SECONDS)

    def _run_message(self, message: dict[str, Any], slot: Process) -> None:
        attempt = AttemptId(message["headers"]["id"])
        known = message["headers"]["hybrid"]
        store = Store(self.network.connect(slot), instance=INSTANCE)
        delivery = Delivery(
            attempt=attempt,
            payload=json.loads(b64decode(message["body"]))[0][0],
            worker=self.name,
            queue=message["properties"]["delivery_info"]["routing_key"],
            generation=known["generation"],
            owner=OwnerId(known["owner"]),
            instance=known["instance"],
        )
        runs = WorkloadRuns(
            lambda: store,
            instance=INSTANCE,
            run=lambda workload: self._tasks.run(
                str(workload.ti.id), attempt, slot, taken_at=self._taken_at.get(attempt)
            ),
            on_note=self._witness.note,
        )
        disposition, end = runs.handle(delivery)
        if end.untold:
            self._reports.ended(attempt, end, process=slot.pid)
        if disposition is Disposition.LATER:
            self._give_back(message)
        self.running.pop(attempt, None)
        self._news.wake()

    def end_process(self, fault: Fault) -> None:
        """End a task process that runs, as Celery does at its hard time limit, or as the kernel does."""
        for attempt, slot in list(self.running.items())[:1]:
            self.world.say(f"{fault}: {attempt[:8]}", process=self.process)
            self.world.kill(slot)
            del self.running[attempt]
            if fault.kind == "time_out":
                self._reports.timed_out(attempt, 30.0, process=slot.pid)
            else:
                self._reports.lost_process(attempt, "Worker exited prematurely: signal 9", process=slot.pid)
            self._news.wake()

    def taken_at(self, attempt: AttemptId) -> float:
        """Return when it took the message of an attempt."""
        return self._taken_at.get(attempt, 0.0)

    def forget_ended(self, *, but: Collection[AttemptId]) -> None:
        """Keep only the messages of what runs, and these: a Redis that has lost data delivers no other one again.

        Those of a worker that is dead are lost with it.

        :param but: those whose acknowledgement it has lost.
        """
        kept = {*but} if self.process.is_dead else {*self.running, *but}
        self.messages = {attempt: message for attempt, message in self.messages.items() if attempt in kept}

    def _give_back(self, message: dict[str, Any]) -> None:
        text = json.dumps({**message, _FIRST_TAKEN: self._taken_at[AttemptId(message["headers"]["id"])]})
        while True:
            try:
                self._client.rpush(message["properties"]["delivery_info"]["routing_key"], text)
                return
            except (redis.RedisError, OSError):
                self.world.sleep(1.0)
