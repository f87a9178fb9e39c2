"""The one group of commands that this provider adds to ``airflow``; see :mod:`hybrid_executor.cli.tables`."""

from __future__ import annotations

from airflow.cli.cli_config import CLICommand, GroupCommand

from hybrid_executor.cli.tables import acting, asking, migrating, running

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


def get_hybrid_cli_commands() -> list[CLICommand]:
    """Return the commands ``airflow hybrid ...``."""
    return [GroupCommand(name="hybrid", help="Commands of the hybrid executor", subcommands=_COMMANDS)]
