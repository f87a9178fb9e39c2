"""Queue names that a Redis broker cannot have, because kombu or this project uses a key of that name. Pure.

Source: the keys of kombu's Redis transport (``unacked_key``, ``keyprefix_queue``, ``sep`` and the like).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybrid_executor.errors import TaskRejected

_KOMBU_KEYS = {"unacked_key": "unacked", "unacked_index_key": "unacked_index", "unacked_mutex_key": "unacked_mutex"}
_BINDINGS = "_kombu.binding."
_SEPARATOR = "\x06\x16"
_OUR_KEYS = "{hybrid:"


def check_queue_name(queue: str, *, key_prefix: str, transport_options: Mapping[str, Any]) -> None:
    """Check that a queue's list is not a key that is used for something else.

    :raises TaskRejected: it is such a key. A message there would stop every worker of this broker.
    """
    separator = str(transport_options.get("sep", _SEPARATOR))
    bindings = str(transport_options.get("keyprefix_queue", _BINDINGS)).partition("%s")[0]
    used = ""
    if queue in {str(transport_options.get(option, name)) for option, name in _KOMBU_KEYS.items()}:
        used = "Celery keeps unacknowledged messages in a Redis key of that name"
    elif queue.startswith(bindings):
        used = "Celery keeps the names of queues in Redis keys of that kind"
    elif separator and separator in queue:
        used = "Celery puts that text between a queue's name and a priority"
    elif (key_prefix + queue).startswith(_OUR_KEYS):
        used = "the hybrid executor keeps its state in Redis keys of that kind"
    elif not queue:
        used = "it is empty"
    if used:
        raise TaskRejected(f"The queue name {queue!r} cannot be used, since {used}: give the task another queue.")
