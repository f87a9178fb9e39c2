"""Which errors of an image pull are temporary. Pure.

The kubelet reports its container runtime's message; the only code in it is the HTTP status. Seen with
containerd and CRI-O: ``unexpected status from HEAD request to https://...: 503 Service Unavailable``,
``toomanyrequests: You have reached your pull rate limit``, ``429 Too Many Requests``,
``dial tcp ...: connect: connection refused``.
"""

from __future__ import annotations

import re

# Not any number: tags, digests and ports hold numbers too.
_STATUS = re.compile(
    r"\b(?:429|5\d\d) (?:too many|internal server|bad gateway|service (?:temporarily )?unavailable|gateway time)"
    r"|\bstatus(?: code)?:? ?(?:429|5\d\d)\b"
    r"|\b(?:response|received|returned)\b[^:/]*: ?(?:429|5\d\d)\b"
    r"|toomanyrequests|rate limit|pull qps exceeded",
    re.IGNORECASE,
)
_NO_ANSWER = re.compile(
    r"i/o timeout|tls handshake timeout|context deadline exceeded|timeout exceeded while|connection (?:refused|reset)"
    r"|unexpected eof|network is unreachable|no route to host|server misbehaving|temporary failure in name resolution"
    r"|client\.timeout|code = (?:unavailable|deadlineexceeded)",
    re.IGNORECASE,
)


def may_pass(message: str) -> bool:
    """Return whether the message of a failed pull means a registry that is busy, broken or unreachable now."""
    return _STATUS.search(message) is not None or _NO_ANSWER.search(message) is not None
