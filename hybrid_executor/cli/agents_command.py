"""``airflow hybrid agent-drain`` and ``agent-probe``."""

from __future__ import annotations

import sys
from argparse import Namespace

from hybrid_executor.cli.acting import code_of, configured_store, say
from hybrid_executor.cli.plainly import plainly, quietly
from hybrid_executor.operations import agents


@plainly
def drain(args: Namespace) -> int:
    """Stop agents from taking new launches; with ``--undo`` let them launch again."""
    with configured_store() as store:
        chosen = agents.choose_agents(store, name=args.agent, is_for_all=args.all)
        if args.undo:
            return code_of(agents.resume_agents(store, chosen, report=say))
        code = code_of(agents.drain_agents(store, chosen, report=say))
        for cluster in agents.clusters_without_agent(store):
            print(
                f"No agent launches pods in cluster {cluster} now: new pods wait until one is resumed or started.",
                file=sys.stderr,
            )
        if code == 0 and args.wait:
            code = code_of(agents.await_idle_agents(store, chosen, seconds=args.timeout, report=say))
    return code


@quietly
def probe(args: Namespace) -> int:
    """Check the agents of this host; the exit code is 0 if all are healthy."""
    from hybrid_executor.agent.probe import probe as look

    return look(args.name, args.seconds)
