"""Types of ids, and the event: pure values that every other module may use.

An event says that an attempt's record has changed. It may arrive twice, late or never; only the record is reliable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, NewType

AttemptId = NewType("AttemptId", str)
"""One queueing of one try: the scheduler's ``external_executor_id``, the Celery message id, the seed of pod names."""

OwnerId = NewType("OwnerId", str)
"""The scheduler job that is responsible for an attempt."""

StreamId = NewType("StreamId", str)
"""A Redis stream entry id, ``<milliseconds>-<sequence>``. Compare with :func:`stream_position`, never as text."""

Kind = Literal["task", "callback", "connection_test"]

STREAM_START = StreamId("0-0")

SCHEMA = 1
"""What records, events and messages of this release mean, as a number that is in each of them.

New fields do not raise it: who does not know them ignores them. It is raised where an older release would misunderstand
what it reads. What has a higher number than a process knows is left to processes that know it.
"""


def stream_position(stream_id: str) -> tuple[int, int]:
    """Return the entry id as numbers, which have the order of the stream ("5-10" comes after "5-9")."""
    milliseconds, _, sequence = stream_id.partition("-")
    return int(milliseconds), int(sequence or 0)


class Event(NamedTuple):
    """One change of one attempt's state.

    :ivar state: the new state's text (see :class:`hybrid_executor.states.State`).
    :ivar generation: the record's generation after the change.
    :ivar holder: the worker, agent or pod that holds the attempt now, "" for none.
    :ivar reason: a text for people; "" for none.
    :ivar namespace: of its pod, "" for none.
    :ivar wants: what the attempt needs from its owner: ``workload``, a new one; "" for nothing.
    """

    id: StreamId
    attempt: AttemptId
    state: str
    generation: int
    owner: OwnerId
    pool: str
    holder: str = ""
    reason: str = ""
    namespace: str = ""
    wants: str = ""


def decode_event(stream_id: str, fields: Mapping[str, str]) -> Event:
    """Return the event in a stream entry; fields of newer releases are ignored.

    :raises KeyError, ValueError: the entry is not an event of ours, or has a higher :data:`SCHEMA`.
    """
    if int(fields.get("schema", SCHEMA)) > SCHEMA:
        raise ValueError("a newer release wrote this event")
    return Event(
        id=StreamId(stream_id),
        attempt=AttemptId(fields["attempt"]),
        state=fields["state"],
        generation=int(fields["generation"]),
        owner=OwnerId(fields.get("owner", "")),
        pool=fields.get("pool", ""),
        holder=fields.get("holder", ""),
        reason=fields.get("reason", ""),
        namespace=fields.get("namespace", ""),
        wants=fields.get("wants", ""),
    )
