"""``airflow hybrid revoke`` and ``forget``: what a person may do to attempts."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hybrid_executor.cli.acting import code_of, confirmed, say
from hybrid_executor.cli.output import Output, output_of
from hybrid_executor.cli.plainly import plainly
from hybrid_executor.config import ConfigSource, Settings, process_config
from hybrid_executor.config.shape import read_configured_settings
from hybrid_executor.errors import ConfigError
from hybrid_executor.operations.attempts import Plan, choose_attempts, plan_revocation, revoke_attempts
from hybrid_executor.operations.done import Done, Report, tell_nobody
from hybrid_executor.operations.records import forget_attempts
from hybrid_executor.pools.recorded import make_recorded_pools
from hybrid_executor.store import Store, open_configured_store


@plainly
def revoke(args: Namespace) -> int:
    """Show what revoking the attempts would do, ask, and do it."""
    conf = process_config()
    settings = read_configured_settings(conf)
    output = output_of(args)
    _check_can_ask(args, output)
    with _opened(settings) as store:
        records = choose_attempts(
            store, args.attempts, dag_id=args.dag or "", task_id=args.task or "", run_id=args.run or ""
        )
        plans = [plan_revocation(record, queued_timeout_seconds=settings.token_seconds) for record in records]
        _show(output, plans)
        results: list[Done] = []
        if not args.dry_run:
            store.check_writes()
            if not confirmed(f"Revoke {_count(len(records))}?", is_agreed=args.yes):
                output.words("Nothing was revoked.")
                return 1
            results = _revoke(store, conf, settings, plans, report=_report_of(output))
    if output.is_data:
        output.data([{**_row(plan), **_outcome(results, plan.record.id)} for plan in plans])
    return code_of(results)


@plainly
def forget(args: Namespace) -> int:
    """Delete the records of ended and orphaned attempts."""
    settings = read_configured_settings(process_config())
    output = output_of(args)
    with _opened(settings) as store:
        records = choose_attempts(store, args.attempts)
        if not args.dry_run:
            store.check_writes()
        results = forget_attempts(
            store, records, is_forced=args.force, is_dry_run=args.dry_run, report=_report_of(output)
        )
    if output.is_data:
        output.data([{"attempt": done.item, "is_done": done.is_done, "words": done.words} for done in results])
    return code_of(results)


def _revoke(
    store: Store, conf: ConfigSource, settings: Settings, plans: Sequence[Plan], *, report: Report
) -> list[Done]:
    pools = make_recorded_pools(conf, settings)
    try:
        return revoke_attempts(store, pools, [plan.record for plan in plans], report=report)
    finally:
        for pool in pools.values():
            pool.close()


def _check_can_ask(args: Namespace, output: Output) -> None:
    if output.is_data and not (args.yes or args.dry_run):
        raise ConfigError("JSON and YAML are for programs, which cannot be asked: add --yes or --dry-run.")


def _show(output: Output, plans: Sequence[Plan]) -> None:
    """Print what would be revoked, and once for each consequence what happens in Airflow afterwards."""
    if output.is_data:
        return
    output.rows([_row(plan) for plan in plans], ("attempt", "task", "state", "pool", "queue"))
    for words in dict.fromkeys(plan.afterwards for plan in plans):
        meant = [plan.record.id for plan in plans if plan.afterwards == words]
        subject = (
            meant[0] if len(meant) == 1 else "All of them" if len(meant) == len(plans) else f"{len(meant)} of them"
        )
        output.words(f"{subject}: {words}.")


def _row(plan: Plan) -> dict[str, Any]:
    record = plan.record
    return {
        "attempt": record.id,
        "task": record.name,
        "state": record.state.value,
        "pool": record.pool,
        "queue": record.queue,
        "holder": record.holder,
        "afterwards": plan.afterwards,
    }


def _outcome(results: Sequence[Done], attempt: str) -> Mapping[str, Any]:
    found = next((done for done in results if done.item == attempt), None)
    return {"is_done": bool(found and found.is_done), "words": found.words if found else ""}


def _count(attempts: int) -> str:
    return "1 attempt" if attempts == 1 else f"{attempts} attempts"


def _report_of(output: Output) -> Report:
    return tell_nobody if output.is_data else say


@contextmanager
def _opened(settings: Settings) -> Iterator[Store]:
    settings.require_redis()
    store = open_configured_store(settings)
    try:
        store.ping()
        yield store
    finally:
        store.close()
