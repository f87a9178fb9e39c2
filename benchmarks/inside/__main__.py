"""``python -m benchmarks.inside``: does what it is told, one JSON object a line, and answers likewise.

A question is ``{"do": name of a method of Scheduler, ...arguments}``. What anything else prints goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
import traceback

from benchmarks.inside.scheduler import Scheduler


def main() -> None:
    """Answer until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    scheduler = Scheduler()
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = {"answer": getattr(scheduler, question.pop("do"))(**question)}
        except Exception:  # noqa: BLE001 - the other side of the pipe raises it
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)
    scheduler.stop()


if __name__ == "__main__":
    main()
