"""The story of one task instance: each of its attempts, where it is, what it waits for now, and what to do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hybrid_executor import compat
from hybrid_executor.compat import AuditRow, SchedulerRow, Standing
from hybrid_executor.config import Settings
from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.events import AttemptId, OwnerId
from hybrid_executor.insight.attempts import FIELDS, AttemptView, view_attempt
from hybrid_executor.insight.explaining import explain
from hybrid_executor.insight.facts import POOLS, read_facts
from hybrid_executor.insight.in_airflow import AirflowSide, explain_in_airflow
from hybrid_executor.insight.situation import Explanation, read_situation
from hybrid_executor.insight.targets import why_closed, why_none_takes
from hybrid_executor.store import Store

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_ENDED = ("succeeded", "failed", "revoked")
_FAILED = ("failed", "up_for_retry")
_OWN_FAILURE = "See the task's log: its process ended as it should, and the task itself failed."


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """One attempt with what is said of it."""

    attempt: AttemptView
    where: str
    waits_for: str = ""
    advice: str = ""


@dataclass(frozen=True, kw_only=True)
class Story:
    """What is known of a task instance, or of one attempt of another kind of workload.

    :ivar task: as Airflow's database has it, ``None`` if it has none or could not be asked.
    :ivar siblings: for a mapped task, how many of its instances are in each of Airflow's states.
    :ivar where: where the task is now. :ivar waits_for: what it waits for now, "" for nothing.
    :ivar advice: what to do now, "" for nothing.
    :ivar chapters: its attempts, the newest first.
    :ivar audit: what Airflow's audit log has of attempts and no chapter tells: those whose record has expired.
    :ivar redis, database: "ok", or why it cannot be used.
    """

    dag_id: str = ""
    task_id: str = ""
    run_id: str = ""
    map_index: int = -1
    task: Standing | None = None
    siblings: dict[str, int] | None = None
    where: str = ""
    waits_for: str = ""
    advice: str = ""
    chapters: tuple[Chapter, ...] = ()
    audit: tuple[AuditRow, ...] = ()
    redis: str = "ok"
    database: str = "ok"

    @property
    def is_found(self) -> bool:
        """Airflow or Redis knows it."""
        return self.task is not None or bool(self.chapters)

    @property
    def ended_because(self) -> str:
        """Why its last attempt did not succeed, "" where it did or is not over."""
        last = self.chapters[0].attempt if self.chapters else None
        is_over = last is not None and last.state in ("failed", "revoked", "lost") and not self.waits_for
        is_good = self.task is not None and self.task.state == "success"
        return last.reason if last is not None and is_over and not is_good else ""

    @property
    def has_failed(self) -> bool:
        """Its task has failed, or its last attempt where Airflow's database was not asked."""
        if self.task is not None:
            return self.task.state in ("failed", "upstream_failed")
        return bool(self.chapters) and self.chapters[0].attempt.state == "failed"


@dataclass(frozen=True, kw_only=True)
class _Redis:
    """What Redis says; ``trouble`` is why it could not be asked, or refuses writes."""

    attempts: tuple[AttemptView, ...] = ()
    trouble: str = ""


def read_story(
    store: Store,
    session: Session,
    settings: Settings,
    *,
    dag_id: str,
    task_id: str,
    run_id: str | None = None,
    map_index: int | None = -1,
) -> Story:
    """Return the story of a task instance.

    :param session: of Airflow's database; nothing is written.
    :param run_id: the newest run that has the task if ``None``.
    :param map_index: of a mapped task; if it has no such instance, or for ``None``, the one that has waited longest.
    """
    standings, database = _read_standings(session, dag_id=dag_id, task_id=task_id, run_id=run_id)
    task = _choose(standings, map_index)
    known = tuple(task.attempts) if task else ()
    where = {"task_id": task_id, "dag_id": dag_id}
    if run := (task.run_id if task else run_id):
        where["run_id"] = run
    index = task.map_index if task else -1 if map_index is None else map_index
    redis = _read_attempts(store, known, {**where, "map_index": str(index)})
    story = Story(
        dag_id=dag_id,
        task_id=task_id,
        run_id=task.run_id if task else run_id or "",
        map_index=index,
        task=task,
        siblings=_siblings(standings),
        database=database,
    )
    return _tell(story, store, session, settings, redis)


def read_attempt_story(store: Store, session: Session, settings: Settings, attempt: str) -> Story:
    """Return the story of the task instance of one attempt, or of the attempt alone if it is no task's."""
    redis = _read_attempts(store, (attempt,), {})
    record = next(iter(redis.attempts), None)
    database = "ok"
    found: Standing | None = None
    try:
        if record is not None and record.kind == "task" and not record.trouble:
            told = compat.read_standings(
                session,
                dag_id=record.dag_id,
                task_id=record.task_id,
                run_id=record.run_id,
                map_index=record.map_index,
            )
            found = next(iter(told), None)
        elif record is None:
            found = compat.find_task_of(session, attempt)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the database, what Redis says is shown
        session.rollback()
        database = compat.database_trouble(error)
    if found is None:
        story = Story(
            dag_id=record.dag_id if record else "",
            task_id=record.task_id if record else "",
            run_id=record.run_id if record else "",
            map_index=record.map_index if record else -1,
            database=database,
        )
        return _tell(story, store, session, settings, redis)
    return read_story(
        store,
        session,
        settings,
        dag_id=found.dag_id,
        task_id=found.task_id,
        run_id=found.run_id,
        map_index=found.map_index,
    )


def _read_standings(session: Session, *, dag_id: str, task_id: str, run_id: str | None) -> tuple[list[Standing], str]:
    try:
        return compat.read_standings(session, dag_id=dag_id, task_id=task_id, run_id=run_id), "ok"
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the database, what Redis says is shown
        session.rollback()
        return [], compat.database_trouble(error)


def _choose(standings: list[Standing], map_index: int | None) -> Standing | None:
    """Return the task instance that was asked for; of a mapped task without an index, one that still waits."""
    exact = [task for task in standings if map_index is not None and task.map_index == map_index]
    if exact:
        return exact[0]
    if map_index is not None and map_index >= 0:
        return None
    order = ("queued", "scheduled", "", "up_for_retry", "deferred", "running", "failed")
    return min(
        standings,
        key=lambda task: (order.index(task.state) if task.state in order else len(order), task.queued_at),
        default=None,
    )


def _siblings(standings: list[Standing]) -> dict[str, int] | None:
    if not any(task.map_index >= 0 for task in standings):
        return None
    counts: dict[str, int] = {}
    for task in standings:
        counts[task.state or "none"] = counts.get(task.state or "none", 0) + 1
    return counts


def _read_attempts(store: Store, known: tuple[str, ...], where: dict[str, str]) -> _Redis:
    """Return the attempts of a task instance, the newest first, by the ids that Airflow knows and by their names.

    :param where: fields that name the task instance; empty if only ``known`` are wanted.
    """
    try:
        now = store.view.now()
        records = store.view.records([AttemptId(attempt) for attempt in known], FIELDS)
        if where:
            for pool in POOLS:
                records += store.view.live(pool, FIELDS, where=where)
            records += store.view.recent(FIELDS, where=where)
    except StoreUnavailable as error:
        return _Redis(trouble=str(error))
    unique = {record.id: view_attempt(record, now=now) for record in records}
    newest_first = sorted(unique.values(), key=lambda view: -view.submitted_at)
    try:
        store.check_writes()
    except StoreUnavailable as error:
        return _Redis(attempts=tuple(newest_first), trouble=str(error))
    return _Redis(attempts=tuple(newest_first))


def _tell(story: Story, store: Store, session: Session, settings: Settings, redis: _Redis) -> Story:
    """Return the story with its chapters, and with what the task waits for now."""
    schedulers: list[SchedulerRow] | None = None
    if story.database == "ok":
        schedulers = compat.read_schedulers(session)
    task = story.task
    chapters = []
    for view in redis.attempts:
        explained = _explain(view, store, settings, task, schedulers, redis.trouble)
        chapters.append(
            Chapter(
                attempt=view,
                where=explained.where,
                waits_for=settings.words(explained.waits_for),
                advice=settings.words(explained.advice),
            )
        )
    story = replace(
        story,
        chapters=tuple(chapters),
        audit=_untold(compat.read_audit_rows(session, task), chapters) if task is not None else (),
        redis=redis.trouble or "ok",
    )
    now = _now_of(story, task, session, store, settings, redis, schedulers)
    words = settings.words
    return replace(story, where=now.where, waits_for=words(now.waits_for), advice=words(now.advice))


def _untold(rows: list[AuditRow], chapters: list[Chapter]) -> tuple[AuditRow, ...]:
    """Return the rows that say more than the chapters and than other rows."""
    reasons = {chapter.attempt.reason for chapter in chapters if chapter.attempt.reason}
    told = {row.try_number for row in rows if row.event != compat.MISMATCH}
    return tuple(
        row
        for row in rows
        if row.text not in reasons
        and not (row.event == compat.MISMATCH and (row.try_number in told or any(one in row.text for one in reasons)))
    )


def _explain(
    view: AttemptView,
    store: Store,
    settings: Settings,
    task: Standing | None,
    schedulers: list[SchedulerRow] | None,
    trouble: str,
) -> Explanation:
    is_owner_alive = None
    if schedulers is not None:
        is_owner_alive = any(row.is_alive for row in schedulers if row.job_id == view.owner)
    is_current = task is not None and bool(task.attempts) and task.attempts[0] == view.id
    try:
        around = read_situation(store, settings, view, is_owner_alive=is_owner_alive, redis=trouble)
    except StoreUnavailable as error:
        return Explanation(where="unknown", waits_for=str(error), advice="See airflow hybrid status.")
    if task is not None and compat.is_unawaited(task.state, has_started=is_current and bool(task.heartbeat_at)):
        around = replace(around, unawaited=task.state or "not queued")
    if task is not None and is_current and task.heartbeat_at:
        around = replace(around, heartbeat_age=max(0.0, around.now - task.heartbeat_at))
    return explain(view, around)


def _now_of(
    story: Story,
    task: Standing | None,
    session: Session,
    store: Store,
    settings: Settings,
    redis: _Redis,
    schedulers: list[SchedulerRow] | None,
) -> Explanation:
    """Return what is to be said of the task now: by its live attempt, or by Airflow where it has none."""
    live = [chapter for chapter in story.chapters if chapter.attempt.state not in _ENDED]
    if live:
        first = live[0]
        return Explanation(where=first.where, waits_for=first.waits_for, advice=first.advice)
    if task is not None and schedulers is not None:
        side = _airflow_side(task, session, store, settings, redis, schedulers)
        explained = explain_in_airflow(task, side)
        if explained is not None:
            return explained
    if story.chapters:
        last = story.chapters[0]
        advice = "" if task is not None and task.state == "success" else last.advice
        if task is not None and task.state in _FAILED and last.attempt.state == "succeeded":
            advice = _OWN_FAILURE
        return Explanation(where=last.where, advice=advice)
    return Explanation(where="")


def _airflow_side(
    task: Standing,
    session: Session,
    store: Store,
    settings: Settings,
    redis: _Redis,
    schedulers: list[SchedulerRow],
) -> AirflowSide:
    import time

    route = settings.routes.find(task.queue)
    pool = route.pool
    used = Counter[str]() if redis.trouble else _occupied(store, pool, task.job, schedulers)
    unmet: list[str] | None = []
    if task.state in ("", "scheduled"):
        unmet = compat.unmet_dependencies(session, task)
        session.rollback()
    return AirflowSide(
        now=time.time(),
        schedulers=schedulers,
        unmet=unmet,
        pool=pool,
        occupied=used.total(),
        limit=settings.parallelism.get(pool, 0),
        in_queue=used[task.queue],
        share=settings.shares.of(task.queue),
        redis=redis.trouble,
        is_elastic=route.is_elastic,
        closed=[] if redis.trouble or not route.is_elastic else _closed(store, settings, task, schedulers),
    )


def _closed(store: Store, settings: Settings, task: Standing, schedulers: list[SchedulerRow]) -> list[str]:
    """Return why no target of the task's route takes it now; nothing where one does, or where that is not known."""
    route = settings.routes.find(task.queue)
    try:
        facts = read_facts(store, settings)
    except StoreUnavailable:
        return []
    used = Counter(record.target for record in facts.records if record.route == route.pattern)
    closed = {
        target.name: why_closed(target, used=used[target.name], workers=facts.workers, queues=[task.queue])
        for target in route.targets
    }
    full: dict[str, str] = {}
    for pool in {target.pool for target in route.targets}:
        limit, occupied = settings.parallelism[pool], _occupied(store, pool, task.job, schedulers).total()
        if occupied >= limit:
            full[pool] = f"pool {pool} is full ({occupied} of {limit} slots of this scheduler)"
    return why_none_takes(route, try_number=task.try_number, closed=closed, pools_full=full)


def _occupied(store: Store, pool: str, job: str, schedulers: list[SchedulerRow]) -> Counter[str]:
    """Return how many live attempts of a pool the task's scheduler has, by queue.

    Those of the fullest scheduler if the task has none.
    """
    try:
        records = [record for record in store.view.live(pool, ("owner", "queue")) if not record.state.is_terminal]
    except StoreUnavailable:
        return Counter()
    wanted = [OwnerId(job)] if job else [OwnerId(row.job_id) for row in schedulers if row.is_alive]
    held = [Counter(record.queue for record in records if record.owner == owner) for owner in wanted]
    return max(held, key=Counter.total, default=Counter())
