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
from hybrid_executor.standalone.logs import ComponentLogs
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
        missing_images=tuple(args.missing_image or ()),
        failing_images=tuple(args.failing_image or ()),
        conf_of=airflow_config,
    )
    console = ComponentConsole()
    failure = None
    with stop_on_signals() as wish:
        folder = plan.state_dir / "logs"
        logs = ComponentLogs(folder, echo=None if args.quiet else console)
        airflow = LocalAirflow(plan, print_line=logs.write)
        running.announce(plan.state_dir, airflow.environment, base=os.environ)
        try:
            _run(airflow, wish, console, folder=folder)
        except StackFailed as error:
            failure = error
        finally:
            console.say("stopping all components" + ("" if failure else "; press Ctrl-C again to kill them"))
            airflow.stop(hurry=wish.hurry)
            running.withdraw(plan.state_dir)
            logs.close()
    if failure:
        # Printed last, so that it stays on the screen.
        print(f"airflow hybrid: {failure}", file=sys.stderr)
        return 1
    console.say("stopped")
    return 0


def _run(airflow: LocalAirflow, wish: StopWish, console: ComponentConsole, *, folder: Path) -> None:
    console.say(f"starting {', '.join(airflow.stack.names)}; executor {airflow.plan.executor}; press Ctrl-C to stop")
    console.say(f"each component writes its log to {folder}")
    if airflow.plan.port and airflow.addresses.api_port != airflow.plan.port:
        console.say(f"port {airflow.plan.port} is in use; the UI is on port {airflow.addresses.api_port}")
    console.say(f"the UI will be at {airflow.login}")
    if airflow.stack.wait_ready(timeout_seconds=_START_SECONDS, stop=wish.stop):
        for line in _ready_lines(airflow, folder):
            console.say(line)
    while not wish.stop.wait(0.5):
        airflow.stack.advance()


def _ready_lines(airflow: LocalAirflow, folder: Path) -> list[str]:
    """Return what is shown when all components are ready; without the login if the auth manager is not ours."""
    login = [f"  user      {airflow.username}", f"  password  {airflow.password}"] if airflow.plan.has_own_login else []
    return ["Airflow is ready", f"  URL       {airflow.addresses.base_url}", *login, f"  logs      {folder}"]
