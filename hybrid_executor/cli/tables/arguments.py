"""Arguments that several commands share."""

from __future__ import annotations

from typing import Any

from airflow.cli.cli_config import Arg


def arg(*flags: str, **keywords: Any) -> Arg:
    """Return an argument, with the parameters of ``argparse.add_argument``."""
    make: Any = Arg
    argument: Arg = make(flags, **keywords)
    return argument


OUTPUT = arg(
    "-o",
    "--output",
    help="Format: table, json, yaml or plain (default: table)",
    choices=("table", "json", "yaml", "plain"),
    metavar="FORMAT",
    default="table",
)
JSON = arg("--json", help="Short for --output json", action="store_true")
WORKER_NAME = arg("worker", help="Name of a worker, or the name of its host")
DRY_RUN = arg("--dry-run", help="Say what would be done, and do nothing", action="store_true")
TEAM = arg(
    "--team",
    help="Team of Airflow's multi-team mode (default: the executor of all teams)",
    metavar="NAME",
)
