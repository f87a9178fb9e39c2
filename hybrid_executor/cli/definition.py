"""The one group of commands that this provider adds to ``airflow``; see :mod:`hybrid_executor.cli.tables`."""

from __future__ import annotations

from airflow.cli.cli_config import ActionCommand, CLICommand, GroupCommand

from hybrid_executor.cli.tables import acting, asking, migrating, running
from hybrid_executor.cli.tables.arguments import TEAM

_COMMANDS = (
    # Run a component.
    running.WORKER,
    running.AGENT,
    running.STANDALONE,
    running.DEMO,
    running.SANDBOX,
    running.FLOWER,
    running.WORKER_PROBE,
    running.SCALER,
    running.AGENT_PROBE,
    # Ask.
    asking.STATUS,
    asking.WHY,
    asking.TASKS,
    asking.QUEUES,
    asking.EVENTS,
    asking.WORKERS,
    asking.ROUTES,
    asking.POD_YAML,
    asking.DOCTOR,
    # Come from another executor.
    migrating.MIGRATE,
    # Act.
    acting.DRAIN,
    acting.WORKER_STOP,
    acting.WORKER_ADD_QUEUE,
    acting.WORKER_REMOVE_QUEUE,
    acting.CLEANUP_PODS,
    acting.AGENT_DRAIN,
    acting.REVOKE,
    acting.FORGET,
    acting.RECONCILE,
)


_OF_ALL_TEAMS = frozenset({"standalone", "demo", "sandbox", "migrate", "worker-probe", "agent-probe"})
"""Commands that do not read the configuration of one executor: they run a whole Airflow, or look at this host."""


def _with_team(command: ActionCommand) -> ActionCommand:
    if command.name in _OF_ALL_TEAMS:
        return command
    return command._replace(args=(*command.args, TEAM))


def get_hybrid_cli_commands() -> list[CLICommand]:
    """Return the commands ``airflow hybrid ...``."""
    commands = [_with_team(command) for command in _COMMANDS]
    return [GroupCommand(name="hybrid", help="Commands of the hybrid executor", subcommands=commands)]
