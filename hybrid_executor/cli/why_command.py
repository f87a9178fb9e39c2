"""``airflow hybrid why``: what a task waits for now, or why it ended, across workers and pods."""

from __future__ import annotations

import re
import time
from argparse import Namespace

from hybrid_executor import compat
from hybrid_executor.cli.asking import configured
from hybrid_executor.cli.output import BAD, DIM, GOOD, WARN, Output, output_of
from hybrid_executor.cli.plainly import plainly
from hybrid_executor.errors import HybridError
from hybrid_executor.insight.durations import in_words
from hybrid_executor.insight.story import Chapter, Story, read_attempt_story, read_story
from hybrid_executor.insight.targets import moved_words

_ATTEMPT = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-")
_STYLES = {"failed": BAD, "lost": BAD, "revoked": WARN, "succeeded": GOOD, "running": GOOD}
_GOOD_STATES = ("success", "running")


@plainly
def why(args: Namespace) -> int:
    """Tell the story of a task instance or of an attempt; return 1 if it has failed or is not known."""
    with configured() as (store, settings), compat.own_session() as session:
        if args.task_id is None:
            story = read_attempt_story(store, session, settings, args.dag_id)
            subject = f"attempt {args.dag_id}"
        else:
            story = read_story(
                store,
                session,
                settings,
                dag_id=args.dag_id,
                task_id=args.task_id,
                run_id=args.run_id,
                map_index=args.map_index,
            )
            subject = f"task {args.task_id} of the Dag {args.dag_id}" + (
                f" in the run {args.run_id}" if args.run_id else ""
            )
        if not story.is_found:
            raise HybridError(_unknown(story, subject, args, knows_dag=_knows_dag(session, args, story)))
    show(story, output_of(args))
    return int(story.has_failed)


def show(story: Story, output: Output) -> None:
    """Print a story."""
    if output.is_data:
        output.data(story)
        return
    _show_now(story, output)
    for number, chapter in enumerate(story.chapters):
        _show_chapter(chapter, output, is_current=number == 0)
    if story.task is not None and not story.chapters:
        output.words("Redis has no record of an attempt of this task instance.", style=DIM)
    if story.audit:
        output.rows(
            [
                {"time": _clock(row.at), "try": row.try_number or "", "event": row.event, "text": row.text}
                for row in story.audit
            ],
            ["time", "try", "event"],
            title="Airflow's audit log has more",
            below="text",
        )


def _show_now(story: Story, output: Output) -> None:
    mapped = f"[{story.map_index}]" if story.map_index >= 0 else ""
    title = f"{story.dag_id}.{story.task_id}{mapped}" if story.dag_id else "Attempt"
    task = story.task
    if task is not None:
        style = GOOD if task.state in _GOOD_STATES else BAD if task.state in ("failed", "upstream_failed") else WARN
        output.words(f"{title} of run {story.run_id}: {task.state or 'no state'} in Airflow", style=style)
    else:
        output.words(f"{title} {story.run_id}".strip())
    if story.siblings:
        counts = ", ".join(f"{count} {state}" for state, count in story.siblings.items())
        output.words(f"One of {sum(story.siblings.values())} mapped instances ({counts}); --map-index chooses another.")
    for name, trouble in (("Redis", story.redis), ("Airflow's database", story.database)):
        if trouble != "ok":
            output.words(f"{name}: {trouble}", style=BAD)
    if story.where:
        output.words(f"It is {story.where}." if not story.where.startswith("ended") else f"It {story.where}.")
    output.words(story.ended_because and f"Why: {story.ended_because}", style=BAD)
    output.words(story.waits_for and f"Waits: {story.waits_for}", style=WARN)
    output.words(story.advice, mark="-> ")
    if task is not None:
        output.pairs(
            {
                "try": task.try_number,
                "queue": task.queue,
                "Airflow's pool": f"{task.pool}, {task.pool_slots} slot{'s' * (task.pool_slots != 1)}",
                "queued": _moment(task.queued_at),
                "started": _moment(task.started_at),
                "last heartbeat": _moment(task.heartbeat_at) if task.state == "running" else "",
                "ended": _moment(task.ended_at),
                "executor": task.executor,
            }
        )


def _show_chapter(chapter: Chapter, output: Output, *, is_current: bool) -> None:
    view = chapter.attempt
    again = (
        f", launched again {view.launches} times" if view.launches > 1 else ", launched again" if view.launches else ""
    )
    came = moved_words(view.moved_from, view.moved_because)
    output.gap()
    output.words(
        f"Attempt {view.id}: {view.state} for {in_words(view.age)}{again}"
        if not view.ended_at
        else f"Attempt {view.id}: {view.state} {in_words(view.age)} ago{again}",
        style=_STYLES.get(view.state, "bold"),
    )
    output.pairs(
        {
            "try": view.try_number or "",
            "pool": f"{view.pool}, queue {view.queue}" + (f", profile {view.profile}" if view.profile else ""),
            "target": f"{view.target} of route {view.route}" if view.route else "",
            "moved": f"{_moment(view.moved_at)} {came}" if view.moves else "",
            "worker": view.holder or view.received_by if view.pool == "celery" else "",
            "pod": f"{view.namespace}/{view.pod}, cluster {view.cluster}" if view.pod else "",
            "node": view.node,
            "scheduler": view.owner,
            "submitted": _moment(view.submitted_at),
            "pod created": _moment(view.pending_at),
            "running since" if not view.ended_at else "ran from": _moment(view.running_at),
            "ended": _moment(view.ended_at),
            "note": view.note,
            "reason": view.reason,
            "category": view.category,
            "exit code": view.exit_code,
            "waits for": "" if is_current else chapter.waits_for,
            "what to do": "" if is_current else chapter.advice,
        },
        indent=2,
    )


def _unknown(story: Story, subject: str, args: Namespace, *, knows_dag: bool) -> str:
    trouble = [
        f"{name}: {text}" for name, text in (("Redis", story.redis), ("database", story.database)) if text != "ok"
    ]
    if trouble:
        return f"Nothing is known of {subject}, since not everything could be asked. {' '.join(trouble)}"
    if args.task_id is None:
        hint = (
            "it has no record in Redis any more (see [hybrid_executor] record_retention), and Airflow's database does "
            "not have it. Ask by task: airflow hybrid why DAG TASK [RUN]"
            if _ATTEMPT.match(args.dag_id)
            else "that is not the id of an attempt. To ask about a task write: airflow hybrid why DAG TASK [RUN]"
        )
        return f"Unknown {subject}: {hint}."
    if not knows_dag:
        return f"Unknown Dag {args.dag_id!r}: 'airflow dags list' shows all."
    what = " and map index" if args.map_index >= 0 else ""
    return (
        f"Unknown {subject}: no run has such a task{what}. 'airflow tasks list {args.dag_id}' shows the tasks and "
        f"'airflow dags list-runs {args.dag_id}' the runs."
    )


def _knows_dag(session: object, args: Namespace, story: Story) -> bool:
    if story.database != "ok" or args.task_id is None:
        return True
    return compat.knows_dag(session, args.dag_id)  # type: ignore[arg-type]


def _moment(seconds: float) -> str:
    if not seconds:
        return ""
    return f"{_clock(seconds)}, {in_words(time.time() - seconds)} ago"


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else ""
