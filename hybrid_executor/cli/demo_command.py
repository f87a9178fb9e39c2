"""``airflow hybrid demo``: runs the example DAGs on a whole Airflow in a temporary home."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from argparse import Namespace
from pathlib import Path

from rich.console import Console

from hybrid_executor.cli.plainly import apart
from hybrid_executor.demo.course import Course
from hybrid_executor.demo.home import ROUTES, find_dags, plan_demo
from hybrid_executor.demo.report import Report
from hybrid_executor.demo.screen import build_table, open_screen
from hybrid_executor.routing import parse_routes
from hybrid_executor.standalone import LocalAirflow
from hybrid_executor.standalone.console import ComponentConsole
from hybrid_executor.standalone.logs import ComponentLogs
from hybrid_executor.standalone.signals import stop_on_signals

_FILE_WIDTH = 132


@apart
def demo(args: Namespace) -> int:
    """Run the DAGs, show and check the result; the exit code is 0 only if everything is correct."""
    dags = find_dags(args.dags)
    home = Path(tempfile.mkdtemp(prefix="hybrid-demo-"))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    logs = ComponentLogs(home / "components", echo=ComponentConsole(console) if args.verbose else None)
    plan = plan_demo(home, dags=dags, environment=os.environ, port=args.port)
    with stop_on_signals() as wish, LocalAirflow(plan, print_line=logs.write) as airflow:
        with open_screen(console, is_live=console.is_terminal and not args.verbose) as screen:
            course = Course(
                airflow=airflow,
                dags=dags,
                routes=parse_routes(ROUTES, profiles=["gpu"]),
                screen=screen,
                wish=wish,
                timeout_seconds=args.timeout,
            )
            report = course.run()
        _show(report, console)
        if args.json:
            report.write(Path(args.json))
        if args.keep and not wish.stop.is_set():
            console.print(f"The UI is available until you press Ctrl-C: {airflow.login}", soft_wrap=True)
            sys.stdout.flush()
            wish.stop.wait()
        airflow.stop(hurry=wish.hurry)
    logs.close()
    if report.problems:
        console.print(f"The logs are in {home}", soft_wrap=True)
    else:
        shutil.rmtree(home, ignore_errors=True)
    console.print(report.verdict, soft_wrap=True, markup=False)
    return 1 if report.problems else 0


def _show(report: Report, console: Console) -> None:
    if report.rows:
        console.print(build_table(report.rows, title="Where every attempt ran"))
    phases = ", ".join(f"{phase} {value:.0f} s" for phase, value in report.seconds.items())
    console.print(f"seconds: {phases}", soft_wrap=True)
    for problem in report.problems:
        console.print(f"wrong: {problem}", soft_wrap=True, markup=False)
