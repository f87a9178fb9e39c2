"""``airflow hybrid status``: what is wrong and what to do, then all components, pools, queues and clusters."""

from __future__ import annotations

import io
import sys
import time
from argparse import Namespace
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from hybrid_executor.cli.asking import configured
from hybrid_executor.cli.output import BAD, DIM, GOOD, WARN, Column, Output, output_of
from hybrid_executor.cli.plainly import plainly
from hybrid_executor.config import DEFAULT_CLUSTER
from hybrid_executor.errors import StoreUnavailable
from hybrid_executor.insight.durations import in_words, some
from hybrid_executor.insight.overview import Overview, read_overview
from hybrid_executor.store import Store

WATCH_SECONDS = 2.0
_CLEAR = "\x1b[H\x1b[2J"
_STATE_STYLES = {"silent": BAD, "not alive": BAD, "deaf": WARN, "draining": WARN, "drained": WARN}


@plainly
def status(args: Namespace) -> int:
    """Show the deployment once, or again and again; return 1 if there is a failure."""
    with configured() as (store, settings):
        # Without the option it is 0, without a number None.
        seconds = WATCH_SECONDS if args.watch is None else args.watch
        if not seconds:
            found = read_overview(store, settings)
            show(found, output_of(args))
            return int(found.has_failed)
        code = 0
        with suppress(KeyboardInterrupt):
            while True:
                found = read_overview(store, settings)
                code = int(found.has_failed)
                _refresh(found, args, seconds=seconds)
                time.sleep(max(0.2, seconds))
        return code


def trouble_of(store: Store) -> str:
    """Return why Redis answers but refuses writes; "" if it accepts them."""
    try:
        store.check_writes()
    except StoreUnavailable as error:
        return str(error)
    return ""


def show(found: Overview, output: Output) -> None:
    """Print an overview."""
    if output.is_data:
        output.data(found)
        return
    _show_problems(found, output)
    _show_members(found, output)
    _show_work(found, output)


def _refresh(found: Overview, args: Namespace, *, seconds: float) -> None:
    """Print an overview in place of the last one; below it where there is no terminal."""
    if not sys.stdout.isatty():
        show(found, output_of(args))
        sys.stdout.flush()
        return
    text = io.StringIO()
    page = Output(output_of(args).format, file=text, is_terminal=True)
    show(found, page)
    page.words(f"{time.strftime('%H:%M:%S')}; every {seconds:g} s; Ctrl-C ends", style=DIM)
    sys.stdout.write(_CLEAR + text.getvalue())
    sys.stdout.flush()


def _show_problems(found: Overview, output: Output) -> None:
    failures = sum(problem.severity == "failure" for problem in found.problems)
    warnings = len(found.problems) - failures
    counts = [some(failures, "failure")] * bool(failures) + [some(warnings, "warning")] * bool(warnings)
    style = BAD if failures else WARN if warnings else GOOD
    output.words(f"Instance {found.instance}: {', '.join(counts) or 'all is well'}", style=style)
    for problem in found.problems:
        is_failure = problem.severity == "failure"
        output.words(f"{'FAILURE' if is_failure else 'Warning'}: {problem.what}", style=BAD if is_failure else WARN)
        output.words(problem.cure, indent=3, mark="-> ")


def _show_members(found: Overview, output: Output) -> None:
    output.rows(
        [
            {
                "job": scheduler.job_id,
                "host": scheduler.hostname,
                "state": "running" if scheduler.is_alive else "not alive",
                "heartbeat": _ago(scheduler.heartbeat_age),
                "attempts": ", ".join(f"{count} {pool}" for pool, count in scheduler.live.items()),
            }
            for scheduler in found.schedulers
        ],
        [Column("job", is_number=True), "host", _STATE, "heartbeat", "attempts"],
        title="Schedulers",
        empty="No scheduler has sent a heartbeat in the last hour." if found.database == "ok" else "",
    )
    if found.redis != "ok" and not (found.workers or found.agents):
        return
    output.rows(
        [
            {
                "worker": worker.name,
                "state": worker.state,
                "queues": _queues(worker.queues, worker.paused_queues),
                "running": f"{len(worker.running)} of {worker.concurrency}" if worker.is_alive else "",
                "received": worker.waiting if worker.is_alive else "",
                "last seen": _ago(worker.heartbeat_age),
            }
            for worker in found.workers
        ],
        ["worker", _STATE, "queues", "running", Column("received", is_number=True), "last seen"],
        title="Workers",
        empty="No workers.",
    )
    if found.agents or found.clusters:
        output.rows(
            [
                {
                    "agent": agent.name,
                    "state": agent.state,
                    "watches": ", ".join(agent.watches) or ("nothing (standby)" if agent.is_alive else ""),
                    "launching": sum(agent.in_flight.values()) if agent.is_alive else "",
                    "created": sum(agent.launched.values()) if agent.is_alive else "",
                    "last seen": _ago(agent.heartbeat_age),
                }
                for agent in found.agents
            ],
            [
                *("agent", _STATE, "watches", Column("launching", is_number=True), Column("created", is_number=True)),
                "last seen",
            ],
            title="Agents",
            empty="No agents.",
        )


def _show_work(found: Overview, output: Output) -> None:
    if found.pools:
        output.rows(
            [
                {"pool": pool.name, "used": pool.occupied, "slots": pool.limit, "queued": pool.queued}
                for pool in found.pools
            ],
            ["pool", *(Column(name, is_number=True) for name in ("used", "slots", "queued"))],
            title="Pools",
        )
    if found.queues:
        output.rows(
            [
                {
                    "queue": queue.name,
                    "pool": queue.pool,
                    "waiting": queue.depth,
                    "for": in_words(queue.oldest_age) if queue.depth else "",
                    "running": queue.running,
                    "share": f"{queue.share:g}",
                    "served by": ", ".join(queue.served_by) or "nobody",
                    "is_bad": bool(queue.advice),
                }
                for queue in found.queues
            ],
            [
                *("queue", "pool", Column("waiting", is_number=True), Column("for", is_number=True)),
                Column("running", is_number=True),
                *([Column("share", is_number=True)] if any(queue.share != 1 for queue in found.queues) else []),
                Column("served by", style=_bad),
            ],
            title="Queues",
        )
    if found.clusters:
        output.rows(
            [
                {
                    "cluster": cluster.name,
                    "agents": len(cluster.agents),
                    "watched": ", ".join(cluster.watched_by),
                    "starting": f"{cluster.starting} of {cluster.limit}" if cluster.limit else cluster.starting,
                    "pods": ", ".join(f"{count} {state}" for state, count in cluster.pods.items()),
                }
                for cluster in found.clusters
            ],
            ["cluster", Column("agents", is_number=True), "watched", "starting", "pods"],
            title="Clusters",
        )
    _show_targets(found, output)
    _show_warm(found, output)
    well = [name for name, told in (("Redis", found.redis), ("Airflow's database", found.database)) if told == "ok"]
    if well:
        output.words(f"{' and '.join(well)} {'answer' if len(well) > 1 else 'answers'}.", style=DIM)


def _show_targets(found: Overview, output: Output) -> None:
    if not found.targets:
        return
    output.rows(
        [
            {
                "route": target.route,
                "target": target.target,
                "used": target.used if target.most is None else f"{target.used} of {target.most}",
                "waiting": target.waiting,
                "came because of": ", ".join(f"{because}: {count}" for because, count in target.came.items()),
                "takes nothing because": target.closed,
            }
            for target in found.targets
        ],
        [
            *("route", "target", Column("used", is_number=True), Column("waiting", is_number=True), "came because of"),
            Column("takes nothing because", style=lambda row: WARN if row["takes nothing because"] else ""),
        ],
        title="Targets of elastic routes",
    )


def _show_warm(found: Overview, output: Output) -> None:
    if not found.warm:
        return
    output.rows(
        [
            {
                "profile": warm.profile if warm.cluster == DEFAULT_CLUSTER else f"{warm.cluster}/{warm.profile}",
                "ready": f"{warm.ready} of {warm.wanted}" if warm.kept_by else "unknown",
                "starting": warm.starting,
                "stale": warm.stale,
                "in use": warm.in_use,
                "requested": f"{warm.cpu:g} CPU, {warm.memory / 2**20:.0f} MiB",
                "hits": warm.hits if warm.hit_rate is None else f"{warm.hits} ({warm.hit_rate:.0%})",
                "misses": ", ".join(f"{count} {reason}" for reason, count in sorted(warm.misses.items())),
            }
            for warm in found.warm
        ],
        [
            *("profile", Column("ready", is_number=True), Column("starting", is_number=True)),
            *(Column("stale", is_number=True), Column("in use", is_number=True), "requested"),
            *(Column("hits", is_number=True), "misses"),
        ],
        title="Warm pods",
    )


def _state_style(row: Mapping[str, Any]) -> str:
    return _STATE_STYLES.get(str(row["state"]), GOOD)


def _bad(row: Mapping[str, Any]) -> str:
    return BAD if row["is_bad"] else ""


_STATE = Column("state", style=_state_style)


def _queues(served: tuple[str, ...], paused: tuple[str, ...]) -> str:
    parts = [", ".join(served), f"(paused: {', '.join(paused)})" if paused else ""]
    return " ".join(part for part in parts if part)


def _ago(seconds: float | None) -> str:
    return f"{in_words(seconds)} ago" if seconds is not None else ""
