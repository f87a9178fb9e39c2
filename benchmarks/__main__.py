"""``python -m benchmarks [--json FILE] [ONLY=name,...] [name.size=1,2]``: measure and print one table.

Sizes are the arguments of a benchmark's ``measure``: ``celery_dispatch.counts=100,1000``.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import os
import platform
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench
from benchmarks.rows import Row
from benchmarks.servers import Servers
from benchmarks.sides import CELERY, OURS, Side, versions
from benchmarks.table import show

NAMES = (
    "celery_dispatch",
    "idle_heartbeat",
    "finish_events",
    "adoption",
    "import_and_construct",
    "footprint",
    "pod_launch",
    "pod_events",
    "warm_pods",
    "worker",
    "chain",
    "end_to_end",
    "real_dags",
    "growth",
)
_PACKAGES = ("apache-airflow", "celery", "redis", "kubernetes")
_UPSTREAM_PACKAGES = ("apache-airflow-providers-celery", "apache-airflow-providers-cncf-kubernetes", "celery")


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; return 1 where a benchmark failed, 2 for wrong arguments."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="file to write all numbers to")
    parser.add_argument("--rounds", type=int, default=3, help="how often the sides take turns (3)")
    parser.add_argument("--only-ours", action="store_true", help="neither install nor run upstream's executors")
    parser.add_argument("--list", action="store_true", help="list the benchmarks and their sizes, and run nothing")
    parser.add_argument("settings", nargs="*", metavar="ONLY=name | name.size=value,...")
    options = parser.parse_intermixed_args(arguments)
    try:
        names, sizes = read_settings(options.settings)
    except ValueError as error:
        parser.error(str(error))
    if options.list:
        print("\n".join(_described(name) for name in NAMES))
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that servers and processes end with this one
    rows: list[Row] = []
    failed: list[str] = []
    with Servers() as servers, Bench(servers, rounds=options.rounds, only_ours=options.only_ours) as bench:
        _say(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        for name in names:
            _say(name)
            try:
                for row in load(name)(bench, **sizes.get(name, {})):
                    beside = "" if row.upstream is None else f", upstream {row.upstream:.4g}"
                    _say(f"  {row.metric}: {row.ours:.4g} {row.unit}{beside}")
                    rows.append(row)
            except KeyboardInterrupt:
                failed.append(name)
                _say("  interrupted; what was measured before follows")
                break
            except Exception as error:  # noqa: BLE001 - the others are measured all the same
                failed.append(name)
                _say(f"  failed: {error}\n{bench.ends_of_logs()}")
                bench.close_remotes()  # one of them may be in the middle of something
        machine = describe_machine(only_ours=options.only_ours)
    show(rows)
    print("\n".join(f"{name}: {value}" for name, value in machine.items()))
    for note in bench.notes:
        print(note)
    print("ratio: how many times better than upstream. Compare numbers of one run only.")
    if failed:
        print(f"failed: {', '.join(failed)}; see above")
    if options.json:
        found = {"machine": machine, "notes": bench.notes, "failed": failed, "series": bench.series}
        found["rows"] = [row.to_plain() for row in rows]
        options.json.write_text(json.dumps(found, indent=1), encoding="ascii")
    return 1 if failed else 0


def load(name: str) -> Callable[..., Iterator[Row]]:
    """Return the function of a benchmark."""
    measure: Callable[..., Iterator[Row]] = importlib.import_module(f"benchmarks.measures.{name}").measure
    return measure


def read_settings(words: Sequence[str]) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """Return which benchmarks are wanted, and their sizes.

    :raises ValueError: there is no such benchmark or size.
    """
    names, sizes = list(NAMES), dict[str, dict[str, Any]]()
    for word in words:
        left, is_setting, right = word.partition("=")
        name, _, size = left.partition(".")
        if left == "ONLY" and is_setting:
            names = [only for only in right.split(",") if only]
            if unknown := set(names) - set(NAMES):
                raise ValueError(f"there is no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(NAMES)}")
        elif is_setting and name in NAMES and size in _sizes(name):
            several = isinstance(_sizes(name)[size], tuple)
            values = [int(value) for value in right.split(",")]
            sizes.setdefault(name, {})[size] = values if several else values[0]
        else:
            raise ValueError(f"{word!r} is neither ONLY=<name> nor <name>.<size>=<numbers>; see --list")
    return names, sizes


def describe_machine(*, only_ours: bool) -> dict[str, str]:
    """Return what the numbers belong to."""
    found = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "load (1, 5, 15 min) at the end": ", ".join(f"{load:.1f}" for load in os.getloadavg()),
        "ours": _told(OURS, _PACKAGES),
    }
    if not only_ours:
        found["upstream"] = _told(CELERY, _UPSTREAM_PACKAGES)
    return found


def _told(side: Side, packages: Sequence[str]) -> str:
    return ", ".join(f"{name} {release}" for name, release in versions(side, packages).items())


def _sizes(name: str) -> dict[str, Any]:
    parameters = inspect.signature(load(name)).parameters.values()
    return {one.name: one.default for one in parameters if one.default is not one.empty}


def _described(name: str) -> str:
    sizes = " ".join(
        f"{name}.{size}={','.join(map(str, value)) if isinstance(value, tuple) else value}"
        for size, value in _sizes(name).items()
    )
    return f"{name}\n    {sizes}"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
