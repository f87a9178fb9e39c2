"""What a kubelet writes where a container's log should be. Pure.

A kubelet begins its answer with 200 before it opens the log. If that fails, the error becomes the end of the answer,
without a newline, and looks like the container's last line. Seen with Kubernetes 1.20 and containerd; the words are
those of ``pkg/kubelet/kuberuntime``.
"""

from __future__ import annotations

import re

_ERROR = re.compile(
    r'failed to try resolving symlinks in path "[^\n]*'
    r'|failed to open log file "[^\n]*'
    r"|unable to retrieve container logs for \w+://[^\n]*"
    r"|rpc error: code = \w+ desc = an error occurred when try to find container [^\n]*"
)


def without_node_words(log: str) -> str:
    """Return a log without the error that its node has put at the end."""
    begins, _, last = log.rpartition("\n")
    if not _ERROR.fullmatch(last):
        return log
    return f"{begins}\n" if begins else ""
