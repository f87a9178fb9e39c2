"""What a started executor does in each loop of the scheduler, and which parts of it only on a timer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hybrid_executor.errors import StoreForbidden, StoreUnavailable
from hybrid_executor.executor import adoption, revocation, submission
from hybrid_executor.executor.announcement import Announcement
from hybrid_executor.executor.callbacks import Callbacks
from hybrid_executor.executor.clock import Timer
from hybrid_executor.executor.comparison import Comparison
from hybrid_executor.executor.context import Context
from hybrid_executor.executor.intake import Intake
from hybrid_executor.executor.left_messages import LeftMessages
from hybrid_executor.executor.lost import LostWork
from hybrid_executor.executor.moves import Moves
from hybrid_executor.executor.orphans import Orphans
from hybrid_executor.executor.pending import ALL_REPAIRS, Repair
from hybrid_executor.executor.queue_report import QueueReport
from hybrid_executor.executor.renewal import renew_workloads
from hybrid_executor.executor.revived import end_revived
from hybrid_executor.executor.starts import StartReports
from hybrid_executor.executor.steps import Steps
from hybrid_executor.executor.still_queued import note_turn
from hybrid_executor.executor.unawaited import Unawaited
from hybrid_executor.executor.unserved import UnservedWarnings

_KEEP_EVENTS = 10_000
_TRIM_SECONDS = 60.0
_ORDERS_SECONDS = 1.0
_PAUSE_SECONDS = 0.02  # after events that bring nothing for Airflow, such as those of another scheduler


class Loop:
    """Takes in events, does what is pending, and does the repairs that only the owner of attempts can do.

    Acts on records and on Airflow's database, read in bulk, and concludes nothing from silence alone. A step that fails
    stays pending and keeps no other step from being done.

    :param read_identity: returns what this scheduler announces of its configuration.
    :param pod_launch_retries: how often a pod that dies before its task starts is launched again, negative for ever.
    """

    def __init__(
        self,
        context: Context,
        *,
        pod_launch_retries: int,
        read_identity: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._context = context
        self._announcement = Announcement(context, read_identity=read_identity)
        self._intake = Intake(context)
        self._comparison = Comparison(context)
        self._lost = LostWork(context, pod_launch_retries=pod_launch_retries)
        self._moves = Moves(context)
        self._left_messages = LeftMessages(context)
        self._unawaited = Unawaited(context)
        self._orphans = Orphans(context)
        self._callbacks = Callbacks(context)
        self._start_reports = StartReports(context)
        self._unserved = UnservedWarnings(context)
        self._queue_report = QueueReport(context)
        self._steps = Steps(clock=context.clock)
        self._sweep_cursors: dict[str, int] = {}
        self._place_starts: Mapping[tuple[str, str], int] = {}
        self._recount_cursor = 0
        self._repair_timer = Timer(context.settings.repair_interval_seconds, context.clock)
        self._order_timer = Timer(_ORDERS_SECONDS, context.clock)
        self._trim_timer = Timer(_TRIM_SECONDS, context.clock)
        self._repairs: dict[Repair, Callable[[], object]] = {
            Repair.END_REVIVED: lambda: end_revived(context),
            Repair.COMPARE_ALL: self._comparison.compare_all,
            Repair.COMPARE_SOME: self._comparison.compare_some,
            Repair.FIND_LOST_WORKERS: self._lost.find_lost_workers,
            Repair.DECIDE_LOST: self._lost.decide_pending,
            Repair.FIND_UNSENT: self._lost.find_unsent,
            Repair.TAKE_BACK_UNAWAITED: self._unawaited.look,
            Repair.TAKE_OVER_ORPHANS: self._orphans.take_over,
            Repair.FOLLOW_CALLBACKS: self._callbacks.follow,
            Repair.SWEEP: self._sweep,
            Repair.DROP_LEFT: self._left_messages.drop,
            Repair.FIND_UNSERVED: self._unserved.look,
        }

    def begin(self, check: Callable[[], None]) -> None:
        """Look at Redis for the first time. Where it is unavailable, the outage says so and the loops go on asking.

        :param check: what else Redis has to fulfil.
        :raises ConfigError: the deployment cannot work.
        """
        context = self._context
        try:
            with context.outage.watch():
                context.store.ping()
                check()
                self._intake.place()
        except StoreForbidden:
            raise
        except StoreUnavailable:
            return

    def run(self) -> None:
        """Do one loop's work. Does nothing while Redis is not to be asked.

        :raises StoreUnavailable: Redis could not be asked; what is pending stays so.
        """
        context, pending, steps = self._context, self._context.pending, self._steps
        if not context.outage.may_ask():
            return
        with context.outage.watch():
            if pending.unsent:
                steps.do("send pending messages", lambda: submission.publish_unsent(context))
            if pending.refused:
                steps.do("fail what the broker refused", lambda: submission.fail_refused(context))
            steps.do("take in events", self._intake.read)
            if pending.to_read:
                steps.do("read records again", self._comparison.read_pending)
            if pending.to_decide:
                steps.do(Repair.DECIDE_LOST.value, self._lost.decide_pending)
            if pending.to_renew:
                steps.do("make new workloads", lambda: renew_workloads(context))
            steps.do("take orders", self._take_orders)
            steps.do("report which pods have started", self._start_reports.tell)
            if pending.to_revoke:
                steps.do("revoke what Airflow has ended", lambda: revocation.revoke_pending(context))
            if pending.to_adopt:
                steps.do("look up adopted task instances", lambda: adoption.resume_adoption(context))
            if self._repair_timer.is_due():
                pending.repairs |= ALL_REPAIRS
            if pending.repairs:
                self._repair()
            elif self._unawaited.is_due():
                steps.do(Repair.TAKE_BACK_UNAWAITED.value, self._unawaited.look)
            steps.do("move attempts to other targets", self._moves.step)
            if self._trim_timer.is_due():
                self._trim_timer.restart()
                steps.do("trim the events", self._trim)
            if context.metrics.is_on:
                steps.do("count what waits", self._queue_report.step)
            steps.do("announce this scheduler", self._announcement.say)
        note_turn(context)

    def end(self) -> None:
        """Take back what others are told of this scheduler."""
        if self._context.outage.may_ask():
            self._announcement.withdraw()

    def _take_orders(self) -> None:
        """Do the timed repairs now if somebody has asked for it."""
        if self._order_timer.is_due():
            self._order_timer.restart()
            orders = self._context.store.orders.take(self._context.owner)
            if any(order.verb == "repair" for order in orders):
                self._context.pending.repairs |= ALL_REPAIRS

    def wait(self, *, until: Callable[[], bool], ask_every_seconds: float) -> None:
        """Wait for events and take them in, at most ``[hybrid_executor] event_wait``, for ``until`` to hold.

        The wait ends too when Airflow knows the end of a task of this scheduler: it may schedule what follows.

        While Redis is not to be asked, only time passes: without a wait, the scheduler would ask its database all the
        time.

        :raises StoreUnavailable: Redis could not be asked.
        """
        context = self._context
        deadline = context.clock() + context.settings.event_wait_seconds
        while not until() and (left := deadline - context.clock()) > 0:
            if not context.outage.may_ask():
                context.sleep(left)
                continue
            with context.outage.watch():
                woken = self._intake.wait(min(left, ask_every_seconds))
            if woken.has_events:
                self.run()
            if any(context.ledger.get(attempt) for attempt in woken.hinted):
                return
            if woken.has_events and not until():
                context.sleep(_PAUSE_SECONDS)

    def _repair(self) -> None:
        # Workers cannot announce themselves to a Redis that refuses writes: their silence means nothing then.
        self._context.store.check_writes()
        self._repair_timer.restart()
        pending = self._context.pending
        for repair in Repair:
            if repair in pending.repairs and self._steps.do(repair.value, self._repairs[repair]):
                pending.repairs.discard(repair)

    def _sweep(self) -> None:
        """Remove from the pools' and the targets' sets what is not there any more, and add what is missing."""
        context, places = self._context, self._context.store.places
        for pool in context.pools:
            cursor = self._sweep_cursors.get(pool, 0)
            self._sweep_cursors[pool] = context.store.attempts.sweep(pool, cursor=cursor)
        elastic = [route for route in context.settings.routes.routes if route.is_elastic]
        if elastic:
            counted = [(route.pattern, target.name) for route in elastic for target in route.targets]
            self._place_starts = places.sweep(counted, starts=self._place_starts)
            self._recount_cursor = places.recount(context.owner, cursor=self._recount_cursor)

    def _trim(self) -> None:
        keep_seconds = self._context.settings.event_retention_seconds
        self._context.store.events.trim(keep_entries=_KEEP_EVENTS, keep_seconds=keep_seconds)
