"""The worker's heartbeat: a thread of its main process that announces the worker and what it does in the store.

Promises: an announcement every few seconds, however busy the task processes are; reports of dead task processes go out
at once; an outage of Redis is logged once and survived. Its connection is its own, and it holds no lock of any library
while the main thread forks a task process.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping

from hybrid_executor.backoff import Backoff
from hybrid_executor.complaints import REDIS, Complaints
from hybrid_executor.errors import ConfigError, HybridError, StoreRefused, StoreUnavailable
from hybrid_executor.events import AttemptId
from hybrid_executor.metrics import SILENT, Metrics
from hybrid_executor.metrics import table as metric
from hybrid_executor.states import State
from hybrid_executor.store import Order, Record, Restoration, Store
from hybrid_workers.activity import Activity, WorkerCard
from hybrid_workers.duty import deaf_since
from hybrid_workers.reports import Reports
from hybrid_workers.witness import Witness

log = logging.getLogger(__name__)

ANNOUNCEMENT_SECONDS = 30.0
_PERIOD_SECONDS = 5.0
_LOOK_SECONDS = 1.0
_LAST_WORDS_SECONDS = 10.0
_BACKOFF = Backoff(first_seconds=1, most_seconds=5)


class Heartbeat:
    """Announces one worker in the store until it is stopped.

    :param look: reads what the worker is doing.
    :param obey: gets the orders that people gave to this worker.
    :param leave: is called once where another worker has the same name and was there first.
    :param beat: is called every second, whether Redis can be asked or not.
    :param witness: knows what the task processes did.
    :param queue_prefix: what stands before a queue's name in Redis; ``None`` where the broker is not this Redis.
    """

    def __init__(
        self,
        store: Callable[[], Store],
        card: WorkerCard,
        reports: Reports,
        look: Callable[[], Activity],
        *,
        obey: Callable[[list[Order]], None],
        leave: Callable[[], None] = lambda: None,
        beat: Callable[[], None] = lambda: None,
        queue_prefix: str | None = None,
        witness: Witness | None = None,
        metrics: Metrics = SILENT,
    ) -> None:
        self._metrics = metrics
        self._store = store
        self._card = card
        self._reports = reports
        self._look = look
        self._obey = obey
        self._leave = leave
        self._shown_as = card.name
        self._was_announced = False
        self._beat = beat
        self._queue_prefix = queue_prefix
        self._witness = witness or Witness()
        self._epoch = ""
        self._stopped = threading.Event()
        self._busy = threading.RLock()
        self._thread = threading.Thread(target=self._run, name="hybrid-heartbeat", daemon=True)
        self._said: object = None
        self._said_at = 0.0
        self._looked_at = 0.0
        self._received: frozenset[AttemptId] = frozenset()
        self._obeyed: set[str] = set()
        self._records: Mapping[AttemptId, Record] = {}
        self._has_restored = False
        self._complaints = Complaints()
        self._failures = 0
        self._closed_until = 0.0

    def start(self) -> None:
        """Begin. From now on a fork waits until the thread is between two calls to Redis."""
        os.register_at_fork(
            before=self._busy.acquire, after_in_parent=self._busy.release, after_in_child=self._busy.release
        )
        self._thread.start()

    def stop(self) -> None:
        """Deliver the last reports, take back the announcement and end; bounded in time."""
        self._stopped.set()
        self._thread.join(_LAST_WORDS_SECONDS)
        deadline = time.monotonic() + _LAST_WORDS_SECONDS
        while True:
            try:
                self._reports.deliver(self._store().attempts, worker=self._card.name)
                self._store().presence.withdraw("worker", self._shown_as, life=self._card.life)
                self._metrics.flush()
                return
            except HybridError as error:
                if time.monotonic() >= deadline:
                    log.error("The worker ended without a report to the store, which is unavailable: %s", error)
                    return
                time.sleep(_LOOK_SECONDS)

    def _run(self) -> None:
        while not self._stopped.wait(0.1 if len(self._reports) and not self._card.trouble else _LOOK_SECONDS):
            with self._busy:
                try:
                    self._beat()
                    if time.monotonic() >= self._closed_until:
                        self.tell()
                except HybridError as error:
                    self._note_cut_off(error)
                except Exception:  # noqa: BLE001 - the worker must not fall silent for a mistake in here
                    log.exception("A heartbeat failed; the next one tries again")
                self._metrics.flush()

    def tell(self) -> None:
        """Announce, report and take orders once.

        :raises StoreUnavailable: Redis could not be asked; the next call does what was not done.
        """
        attempts = self._store().attempts
        activity = self._look()
        self._do("keep what has run", lambda: self._keep_what_ran(activity))
        name, keep = self._card.name, self._witness.keep_end
        self._do("deliver its reports", lambda: self._reports.deliver(attempts, worker=name, keep=keep))
        self._do("take its orders", lambda: self._store().orders.take(self._card.life, obey=self._obey_once))
        self._do("note what it received", lambda: self._note_received(activity))
        # By a clock of its own: a busy worker announces something new every second.
        if time.monotonic() - self._looked_at >= _PERIOD_SECONDS:
            self._do("tell ends that got lost", lambda: self._witness.say_lost_again(attempts))
            self._do("keep its records", lambda: self.keep_records(activity))
            self._do("look for waiting messages", lambda: self._listen(activity))
            self._looked_at = time.monotonic()
        size = (self._card.processes, self._card.concurrency)
        saying = (activity, self._card.state(activity), self._card.queues, size)
        if self._said != saying or time.monotonic() - self._said_at >= _PERIOD_SECONDS:
            self._give_way()
            self._store().presence.announce(
                "worker", self._shown_as, self._card.describe(activity), seconds=ANNOUNCEMENT_SECONDS
            )
            self._was_announced = True
            self._said, self._said_at = saying, time.monotonic()
        if self._card.trouble:
            # Not all of it needed a write.
            self._store().check_writes()
            self._complaints.settle(REDIS, "The store is available again")
            self._card.trouble, self._failures = "", 0

    def _give_way(self) -> None:
        """Leave, and use another name meanwhile, where a worker of the same name was there first.

        Two that start at the same time find each other only here. A killed one does not announce itself any more.
        """
        if not self._was_announced or self._shown_as != self._card.name:
            return
        other = self._store().presence.fields("worker", self._card.name)
        mine = {"life": self._card.life, "started_at": f"{self._card.started_at:.0f}"}
        if not other or other.get("life") == mine["life"] or _seniority(other) > _seniority(mine):
            return
        log.error(
            "A worker named %s is running already (on %s, process %s). This one finishes what it runs and ends: start "
            "it with another name (--celery-hostname, for the command celery worker: --hostname)",
            self._card.name,
            other.get("hostname"),
            other.get("pid"),
        )
        self._shown_as = f"{self._card.name}-{self._card.life[:8]}"
        self._leave()

    def _do(self, name: str, step: Callable[[], object]) -> None:
        """Do one part; whatever is wrong with it, the worker goes on telling that it is alive. It says so once.

        :raises StoreUnavailable, ConfigError: Redis could not be asked, so that no other part can either.
        """
        try:
            step()
        except (StoreUnavailable, ConfigError):
            raise
        except Exception as error:  # noqa: BLE001 - a mistake in one part must not make the worker look dead
            self._complaints.unexpected(name, "The worker could not %s; trying again", name, error=error)
        else:
            self._complaints.settle(name, "The worker can %s again", name, level=logging.WARNING)

    def _keep_what_ran(self, activity: Activity) -> None:
        """Read what task processes did; where Redis may have fallen back to older data, write it again.

        Also at the first look: a task process may have run something before it, and Redis may have forgotten that.
        """
        self._witness.gather(activity.running)
        epoch = self._store().events.present().name
        if self._epoch != epoch or self._has_restored:
            if self._epoch not in ("", epoch):
                log.warning(
                    "Redis lost data, or may have lost its last changes; writing again what runs and has run here"
                )
            self._witness.gather(activity.running)  # what Redis has forgotten may have been told in between
            self._witness.say_again(self._store().attempts, active=activity.running)
        self._epoch, self._has_restored = epoch, False

    def _note_received(self, activity: Activity) -> None:
        news = activity.waiting - self._received
        if news:
            self._store().attempts.annotate({attempt: {"received_by": self._card.name} for attempt in news})
        self._received = activity.waiting

    def _obey_once(self, orders: list[Order]) -> None:
        """Carry out new orders: one whose deletion failed comes again."""
        self._obey([order for order in orders if order.id not in self._obeyed])
        self._obeyed = {order.id for order in orders}

    def _listen(self, activity: Activity) -> None:
        """Find out whether the worker is deaf; not possible with a broker that is not this Redis."""
        if self._queue_prefix is not None:
            keys = [self._queue_prefix + queue for queue in self._card.queues]
            waits = self._store().broker_lists.any_waiting(keys)
            now = time.time()
            self._card.deaf_since = deaf_since(self._card, activity, any_waiting=waits, now=now)
            self._card.is_deaf = 0 < self._card.deaf_since < now

    def returned(self, attempts: list[AttemptId]) -> None:
        """Note that messages went back to their queues: no record may say that this worker has them."""
        try:
            with self._busy:
                self._store().attempts.annotate({attempt: {"received_by": ""} for attempt in attempts})
        except HybridError as error:
            self._note_cut_off(error)

    def keep_records(self, activity: Activity) -> None:
        """Remember the records of what runs here, and write those again that Redis has lost since."""
        running = sorted(activity.running)
        found = dict(zip(running, self._store().attempts.records(running), strict=True)) if running else {}
        lost = [self._records[attempt] for attempt, record in found.items() if not record and attempt in self._records]
        if lost:
            log.warning("Redis lost the records of %d running attempts; writing them again", len(lost))
            self._store().attempts.restore([_restoration(record) for record in lost])
            self._has_restored = True  # one may have ended since it was looked at: the next look says so
        kept = {attempt: record for attempt, record in found.items() if record and record.state is State.RUNNING}
        self._records = {**{record.id: record for record in lost}, **kept}

    def _note_cut_off(self, error: HybridError) -> None:
        code = error.code if isinstance(error, StoreRefused) else ""
        self._complaints.report(
            REDIS, "The store is unavailable; what runs goes on: %s", error, cause=code, level=logging.ERROR
        )
        self._metrics.count(metric.REDIS_ERRORS, role="worker", code=code or "unreachable")
        self._card.trouble = str(error)
        self._failures += 1
        self._closed_until = time.monotonic() + _BACKOFF.seconds(self._failures)
        # An unavailable Redis does not tell whether messages wait.
        self._card.deaf_since, self._card.is_deaf = 0.0, False


def _seniority(fields: Mapping[str, str]) -> tuple[int, str]:
    """Return what is smaller for the worker that was there first; the same for all who ask."""
    return int(fields.get("started_at") or 0), fields.get("life", "")


def _restoration(record: Record) -> Restoration:
    fields: dict[str, str | int] = {
        "kind": record.kind,
        "key": record.key,
        "dag_id": record.dag_id,
        "task_id": record.task_id,
        "run_id": record.run_id,
        "map_index": record.map_index,
        "try_number": record.try_number,
        "queue": record.queue,
        "profile": record.profile,
        "holder": record.holder,
        **record.placed_fields(),
        **record.extra,
    }
    return Restoration(
        attempt=record.id,
        owner=record.owner,
        pool=record.pool,
        state=record.state,
        generation=record.generation,
        fields=fields,
    )
