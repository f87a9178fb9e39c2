"""``python -m hybrid_executor.agent.probe``: is the agent of this host well? For the health check of a container.

Exit code 0: yes. 1: no, with the reason on standard output. Reads one file and does not import Airflow. It does not
fail because Redis or a cluster is unavailable: a restart of the agent would not help.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from hybrid_executor.agent.vitals import find_trouble, is_process, read_all_vitals

DEFAULT_SECONDS = 60.0


def probe(name: str | None = None, seconds: float | None = None) -> int:
    """Print how the agents of this host are, and return 0 if there is one and all are well.

    :param name: the agent that is meant; all by default.
    :param seconds: how long one may be silent or stuck.
    """
    limit = DEFAULT_SECONDS if seconds is None else seconds
    found = [vitals for vitals in read_all_vitals() if name in (None, vitals.name)]
    alive = [vitals for vitals in found if is_process(vitals.pid)]
    if not alive:
        gone = f"; {found[0].name} (pid {found[0].pid}) is gone" if found else ""
        print(f"no agent{f' named {name}' if name else ''} runs here{gone}")
        return 1
    troubles = [find_trouble(vitals, now=time.time(), seconds=limit) for vitals in alive]
    for vitals, trouble in zip(alive, troubles, strict=True):
        waits = f", and waits: {vitals.trouble}" if vitals.trouble else ""
        print(f"{vitals.name} {trouble or 'is well'}{waits}")
    return int(any(troubles))


def main(words: Sequence[str] | None = None) -> int:
    """Read the command line and probe."""
    parser = argparse.ArgumentParser(
        prog="python -m hybrid_executor.agent.probe", description="Is the agent here well?"
    )
    parser.add_argument("--name", help="name of the agent (default: all of this host)")
    parser.add_argument("--seconds", type=float, help=f"how long it may be silent or stuck ({DEFAULT_SECONDS:.0f})")
    arguments = parser.parse_args(words)
    return probe(arguments.name, arguments.seconds)


if __name__ == "__main__":
    sys.exit(main())
