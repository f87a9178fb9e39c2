"""``airflow hybrid reconcile``: what does not fit together between Redis, Airflow and the clusters, and its repair."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any

from hybrid_executor.cli.output import DIM, Output, output_of
from hybrid_executor.cli.plainly import EXIT_ERROR, plainly
from hybrid_executor.cli.seen_pods import read_pods
from hybrid_executor.config import process_config
from hybrid_executor.config.shape import configured_shape, read_configured_settings
from hybrid_executor.operations.differences import Difference
from hybrid_executor.operations.reconcile import await_repairs, compare, repair
from hybrid_executor.operations.snapshot import Snapshot, take_snapshot
from hybrid_executor.pools.recorded import make_recorded_pools
from hybrid_executor.store import open_configured_store


@plainly
def reconcile(args: Namespace) -> int:
    """Compare, say what differs, repair it unless ``--dry-run``, and say what is left."""
    conf = process_config()
    settings = read_configured_settings(conf)
    settings.require_redis()
    output = output_of(args)
    is_default = configured_shape(conf) is not None
    pools = make_recorded_pools(conf, settings)
    store = open_configured_store(settings)

    def look() -> Snapshot:
        pods = read_pods(conf, settings, store)
        return take_snapshot(store, settings, pools=pools, pods=pods, is_default_executor=is_default)

    done: dict[tuple[str, str, int], str] = {}
    try:
        store.ping()
        if not args.dry_run:
            store.check_writes()
        comparison = compare(look)
        left: Sequence[Difference] = comparison.differences
        _tell_unasked(comparison.unasked)
        if left and not args.dry_run:
            done = repair(store, comparison)
            left = await_repairs(look, comparison, seconds=args.timeout)
    finally:
        for pool in pools.values():
            pool.close()
        store.close()
    _show(output, comparison.differences, done, left={item.key for item in left}, is_dry_run=args.dry_run)
    return EXIT_ERROR if comparison.unasked else int(bool(left))


def _tell_unasked(unasked: Sequence[str]) -> None:
    for words in unasked:
        print(f"airflow hybrid reconcile: {words}", file=sys.stderr)


def _show(
    output: Output,
    differences: Sequence[Difference],
    done: Mapping[tuple[str, str, int], str],
    *,
    left: set[tuple[str, str, int]],
    is_dry_run: bool,
) -> None:
    if output.is_data:
        output.data([_row(item, done.get(item.key, ""), is_left=item.key in left) for item in differences])
        return
    if not differences:
        output.words("No differences.")
        return
    for kind in dict.fromkeys(item.kind for item in differences):
        for item in (one for one in differences if one.kind == kind):
            output.words(f"{item.what}.")
            output.words(_outcome(item, done.get(item.key, ""), item.key in left, is_dry_run), style=DIM, indent=2)
    repaired = len(differences) - len(left)
    total = "1 difference" if len(differences) == 1 else f"{len(differences)} differences"
    output.words(f"{total}; nothing was changed." if is_dry_run else f"{total}, {repaired} repaired, {len(left)} left.")


def _outcome(item: Difference, done: str, is_left: bool, is_dry_run: bool) -> str:
    if is_dry_run or item.repairer in ("worker", "nobody"):
        who = "" if item.repairer == "nobody" else f"Left to the {item.repairer}: "
        return f"{'Would be repaired: ' if item.repairer == 'this command' else who}{item.cure}."
    if not is_left:
        return f"Repaired: {done}."
    return f"Not repaired yet ({done}): {item.cure}."


def _row(item: Difference, done: str, *, is_left: bool) -> dict[str, Any]:
    return {
        "kind": item.kind,
        "subject": item.subject,
        "what": item.what,
        "repairer": item.repairer,
        "cure": item.cure,
        "done": done,
        "is_left": is_left,
    }
