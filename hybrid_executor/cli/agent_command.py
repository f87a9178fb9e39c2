"""``airflow hybrid agent``: a process of its own that launches and watches pods."""

from __future__ import annotations

from argparse import Namespace

from hybrid_executor.cli.replacement import become, given


def agent(args: Namespace) -> None:
    """Become an agent."""
    become("hybrid_executor.agent", given(name=args.name, parent_pid=args.parent_pid))
