"""Scripted faults of the API, as rules: which requests, how often, and what happens to them instead.

Rules are values. :class:`FaultRules` holds the rules in force and counts their hits; it may be used from any thread.
"""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from hybrid_executor.sandbox.request_info import RequestInfo
from hybrid_executor.sandbox.status import StatusError

Action = Literal["status", "slow", "drop", "lose_reply"]

SERVER_ERRORS: Mapping[int, tuple[str, str]] = {
    410: ("Expired", "too old resource version"),
    500: ("InternalError", "Internal error occurred: fault of the sandbox"),
    502: ("", "Bad Gateway"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: ("Timeout", "the server was unable to return a response in the time allotted"),
}
"""Reason and message of injected statuses that name none."""


@dataclass(frozen=True)
class Fault:
    """One rule. An empty condition matches every request; all given ones must match.

    :ivar action: ``status`` answers with ``code``; ``slow`` waits ``delay_seconds`` and goes on; ``drop`` cuts the
        connection before anything is done; ``lose_reply`` does everything and cuts the connection instead of answering.
    :ivar path: a regular expression searched for in the path.
    :ivar skip: let this many matching requests pass first.
    :ivar times: strike this often, None for always.
    :ivar as_event: a watch gets the status as an ERROR event in a 200 stream.
    """

    action: Action
    verb: str = ""
    resource: str = ""
    method: str = ""
    path: str = ""
    namespace: str = ""
    skip: int = 0
    times: int | None = None
    code: int = 500
    reason: str = ""
    message: str = ""
    retry_after_seconds: int | None = None
    as_event: bool = False
    delay_seconds: float = 0.0
    id: str = ""

    def concerns(self, info: RequestInfo) -> bool:
        """Whether the rule's conditions match the request."""
        return (
            self.verb in {"", info.verb}
            and self.resource in {"", info.resource, info.full_resource}
            and self.method in {"", info.method}
            and self.namespace in {"", info.namespace}
            and re.search(self.path, info.path) is not None
        )

    def as_status(self) -> StatusError:
        """Return the answer of a ``status`` fault (429 has a plain-text body instead, see ``faults``)."""
        reason, message = SERVER_ERRORS.get(self.code, ("", f"fault {self.code}"))
        retry_after = self.retry_after_seconds
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        return StatusError(self.code, self.reason or reason, self.message or message, {}, headers)


@dataclass(frozen=True)
class Denial:
    """A right that the token's user does not have: requests get RBAC's 403, access reviews say "no".

    :ivar resource: plural, with subresource where that is meant ("pods/log"); "*" for every one.
    :ivar namespace: "" for all.
    """

    verb: str
    resource: str = "pods"
    namespace: str = ""

    def covers(self, *, verb: str, resource: str, namespace: str) -> bool:
        """Whether this denial answers the question."""
        return self.verb in {"*", verb} and self.resource in {"*", resource} and self.namespace in {"", namespace}


class FaultRules:
    """The faults and denials in force."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._faults: dict[str, Fault] = {}
        self._seen: dict[str, int] = {}
        self._hits: dict[str, int] = {}
        self._denials: frozenset[Denial] = frozenset()

    def add(self, fault: Fault) -> str:
        """Put a rule in force, after those that are; return its id."""
        with self._lock:
            fault = replace(fault, id=f"f{next(self._ids)}")
            self._faults[fault.id] = fault
            self._seen[fault.id] = self._hits[fault.id] = 0
            return fault.id

    def remove(self, fault_id: str) -> None:
        """Take a rule back; one that is gone is no error."""
        with self._lock:
            self._faults.pop(fault_id, None)

    def clear(self) -> None:
        """Take all rules and denials back."""
        with self._lock:
            self._faults.clear()
            self._denials = frozenset()

    def deny(self, denial: Denial) -> None:
        """Take a right away until :meth:`clear`."""
        with self._lock:
            self._denials |= {denial}

    def is_denied(self, *, verb: str, resource: str, namespace: str) -> bool:
        """Whether the token's user lacks a right."""
        return any(denial.covers(verb=verb, resource=resource, namespace=namespace) for denial in self._denials)

    def hits(self, fault_id: str) -> int:
        """Return how often a rule has struck; rules that were taken back keep their count."""
        with self._lock:
            return self._hits[fault_id]

    def strike(self, info: RequestInfo) -> list[Fault]:
        """Return what happens to a request, in order: slow-downs, then at most one other fault; counts them."""
        struck: list[Fault] = []
        with self._lock:
            for fault in self._faults.values():
                if not fault.concerns(info):
                    continue
                self._seen[fault.id] += 1
                if self._seen[fault.id] <= fault.skip or self._hits[fault.id] == fault.times:
                    continue
                self._hits[fault.id] += 1
                struck.append(fault)
                if fault.action != "slow":
                    break
        return struck
