"""Arguments that several commands share."""

from __future__ import annotations

from typing import Any

from airflow.cli.cli_config import Arg


def arg(*flags: str, **keywords: Any) -> Arg:
    """Return an argument, with the parameters of ``argparse.add_argument``."""
    make: Any = Arg
    argument: Arg = make(flags, **keywords)
    return argument


JSON = arg("--json", help="Print JSON instead of a table", action="store_true")
WORKER_NAME = arg("worker", help="Name of a worker, or the name of its host")
