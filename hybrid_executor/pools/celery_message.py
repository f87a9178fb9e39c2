"""Celery messages, as kombu's Redis transport would put them on a queue's list (task protocol 2). Pure.

Promises: the message of one attempt, owner, generation and payload is always the same text, so that it can be found and
removed again. Headers, which monitors and logs show, never contain the payload, because it holds a token.
"""

from __future__ import annotations

import json
from base64 import b64encode
from functools import lru_cache
from typing import Any

from hybrid_executor.events import SCHEMA, AttemptId, OwnerId

TASK_NAME = "execute_workload"
HIDDEN = "<hidden>"
_ORIGIN = "hybrid_executor"
# Text that no queue name holds: control characters, which JSON writes as escapes.
_ATTEMPT_MARK = "\x00attempt\x00"
_BODY_MARK = "\x00body\x00"
_BODY_END = '], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'


def build_headers(attempt: str, *, owner: OwnerId, instance: str, pool: str, generation: int) -> dict[str, Any]:
    """Return the headers of an attempt's message.

    In addition to Celery's own, ``hybrid`` says whose attempt it is: a worker that finds no record, because Redis lost
    its data, writes the record again from that and the payload.

    :param generation: of the record that the message is sent for. When the attempt goes on to another target, its
        record has a higher one, and a worker drops this message.
    """
    return {
        "lang": "py",
        "task": TASK_NAME,
        "id": attempt,
        "shadow": None,
        "eta": None,
        "expires": None,
        "group": None,
        "group_index": None,
        "retries": 0,
        "timelimit": [None, None],
        "root_id": attempt,
        "parent_id": None,
        "argsrepr": HIDDEN,
        "kwargsrepr": "{}",
        "origin": _ORIGIN,
        "ignore_result": True,
        "replaced_task_nesting": 0,
        "stamped_headers": None,
        "stamps": {},
        "hybrid": {"owner": owner, "instance": instance, "pool": pool, "generation": generation, "schema": SCHEMA},
    }


def build_body(payload: str) -> str:
    """Return the message body: arguments, keyword arguments and Celery's empty embed, as JSON text."""
    return "[[" + json.dumps(payload) + _BODY_END


def build_message(
    attempt: AttemptId, payload: str, *, queue: str, owner: OwnerId, instance: str, generation: int
) -> str:
    """Return the text to push on the queue's list."""
    head, *rest = _template(queue, owner, instance, generation)
    body = b64encode(build_body(payload).encode()).decode("ascii")
    return head + body + json.dumps(attempt)[1:-1].join(rest)


def read_attempt(message: str) -> AttemptId | None:
    """Return the attempt of a message on a queue's list, ``None`` where it is not a task's message."""
    try:
        return AttemptId(str(json.loads(message)["headers"]["id"]))
    except (ValueError, TypeError, LookupError):
        return None


@lru_cache(maxsize=1024)
def _template(queue: str, owner: OwnerId, instance: str, generation: int) -> tuple[str, ...]:
    """Return the fixed parts of the message: the body belongs after the first, the attempt id between the others.

    The delivery tag is the attempt's id. kombu keeps delivered messages under their tag, so two deliveries of one
    attempt are one entry there, and the first of them that ends removes it.
    """
    message = {
        "body": _BODY_MARK,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": build_headers(_ATTEMPT_MARK, owner=owner, instance=instance, pool="celery", generation=generation),
        "properties": {
            "correlation_id": _ATTEMPT_MARK,
            "reply_to": "",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": _ATTEMPT_MARK,
        },
    }
    head, _, rest = json.dumps(message).partition(json.dumps(_BODY_MARK)[1:-1])
    return (head, *rest.split(json.dumps(_ATTEMPT_MARK)[1:-1]))
