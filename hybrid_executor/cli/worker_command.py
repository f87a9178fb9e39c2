"""``airflow hybrid worker`` and ``worker-probe``: call ``hybrid_workers``, which may be imported by name only."""

from __future__ import annotations

from argparse import Namespace
from importlib import import_module

from hybrid_executor.cli.plainly import quietly


@quietly
def worker(args: Namespace) -> int | None:
    """Run a Celery worker until it is told to stop."""
    code: int | None = import_module("hybrid_workers.command").run_worker(args)
    return code


@quietly
def worker_probe(args: Namespace) -> int:
    """Check the workers of this host; the exit code is 0 if all are healthy."""
    code: int = import_module("hybrid_workers.probe").probe(args.celery_hostname, args.seconds)
    return code
