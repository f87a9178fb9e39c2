"""``airflow hybrid agent``: a separate process that creates and watches pods."""

from __future__ import annotations

from argparse import Namespace

from hybrid_executor.cli.replacement import become, given


def agent(args: Namespace) -> None:
    """Replace this process by an agent."""
    become("hybrid_executor.agent", given(name=args.name, parent_pid=args.parent_pid, team=args.team))
