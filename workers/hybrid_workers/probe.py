"""``python -m hybrid_workers.probe``: is the worker of this host well? For the health check of a container.

Exit code 0: yes. 1: no, with the reason on standard output. Reads one file and imports neither Airflow nor Celery.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

from hybrid_workers.vitals import Vitals, find_trouble, read_all_vitals

DEFAULT_SECONDS = 60.0


def probe(name: str | None = None, seconds: float | None = None) -> int:
    """Print how the workers of this host are, and return 0 if there is one and all are well.

    :param name: the worker that is meant, with or without its host; all by default.
    :param seconds: how long one may be silent, stuck or deaf.
    """
    limit = DEFAULT_SECONDS if seconds is None else seconds
    found = [vitals for vitals in read_all_vitals() if name is None or _is_named(vitals, name)]
    alive = [vitals for vitals in found if _is_process(vitals.pid)]
    if not alive:
        gone = f"; {found[0].name} (pid {found[0].pid}) is gone" if found else ""
        print(f"no worker{f' named {name}' if name else ''} runs here{gone}")
        return 1
    troubles = [(vitals.name, find_trouble(vitals, now=time.time(), seconds=limit)) for vitals in alive]
    for (worker, trouble), vitals in zip(troubles, alive, strict=True):
        print(f"{worker} {trouble or 'is well'}{f', and waits: {vitals.trouble}' if vitals.trouble else ''}")
    return int(any(trouble for _, trouble in troubles))


def _is_named(vitals: Vitals, name: str) -> bool:
    return name in (vitals.name, vitals.name.partition("@")[0], vitals.name.partition("@")[2])


def _is_process(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def main(words: Sequence[str] | None = None) -> int:
    """Read the command line and probe."""
    parser = argparse.ArgumentParser(prog="python -m hybrid_workers.probe", description="Is the worker here well?")
    parser.add_argument("-H", "--celery-hostname", help="name of the worker (default: all of this host)")
    parser.add_argument("--seconds", type=float, help=f"how long it may be silent or deaf ({DEFAULT_SECONDS:.0f})")
    arguments = parser.parse_args(words)
    return probe(arguments.celery_hostname, arguments.seconds)


if __name__ == "__main__":
    sys.exit(main())
