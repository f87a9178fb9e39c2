"""``airflow hybrid standalone``: a whole Airflow on this machine, until Ctrl-C."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path

from hybrid_executor.cli.plainly import apart
from hybrid_executor.config import airflow_config
from hybrid_executor.standalone import LocalAirflow, StackFailed, running
from hybrid_executor.standalone.configured import plan_standalone
from hybrid_executor.standalone.console import ComponentConsole
from hybrid_executor.standalone.signals import StopWish, stop_on_signals

_START_SECONDS = 240


@apart
def standalone(args: Namespace) -> int:
    """Start the parts that are not configured elsewhere, show all logs, and stop everything at the end."""
    from airflow.configuration import AIRFLOW_HOME

    plan = plan_standalone(
        airflow_config(),
        os.environ,
        home=Path(AIRFLOW_HOME),
        port=args.port,
        queues=args.queues,
        concurrency=args.concurrency,
    )
    console = ComponentConsole()
    failure = None
    with stop_on_signals() as wish:
        airflow = LocalAirflow(plan, print_line=console.print_line)
        running.announce(plan.state_dir, airflow.environment, base=os.environ)
        try:
            _run(airflow, wish, console)
        except StackFailed as error:
            failure = error
        finally:
            console.say("stopping all components" + ("" if failure else "; press Ctrl-C again to kill them"))
            airflow.stop(hurry=wish.hurry)
            running.withdraw(plan.state_dir)
    if failure:
        # Printed last, so that it stays on the screen.
        print(f"airflow hybrid: {failure}", file=sys.stderr)
        return 1
    console.say("stopped")
    return 0


def _run(airflow: LocalAirflow, wish: StopWish, console: ComponentConsole) -> None:
    console.say(f"starting {', '.join(airflow.stack.names)}; executor {airflow.plan.executor}; press Ctrl-C to stop")
    if airflow.plan.port and airflow.addresses.api_port != airflow.plan.port:
        console.say(f"port {airflow.plan.port} is in use; the UI is on port {airflow.addresses.api_port}")
    if airflow.stack.wait_ready(timeout_seconds=_START_SECONDS, stop=wish.stop):
        console.say(f"Airflow is ready: {airflow.login}")
    while not wish.stop.wait(0.5):
        airflow.stack.advance()
