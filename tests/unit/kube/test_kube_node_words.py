"""An error of the node is no line of a container, and so neither its last words nor a sign that it has run."""

from __future__ import annotations

import pytest

from hybrid_executor.kube.node_words import without_node_words
from hybrid_executor.kube.warm_pod import acceptance_in

# Recorded from a kubelet 1.20 after the pod's folder was removed.
SYMLINKS = (
    'failed to try resolving symlinks in path "/var/log/pods/ns_p_6a5d/base/0.log": '
    "lstat /var/log/pods/ns_p_6a5d/base/0.log: no such file or directory"
)
ERRORS = [
    SYMLINKS,
    'failed to open log file "/var/log/pods/ns_p_6a5d/base/0.log": open /var/log/pods: no such file or directory',
    "unable to retrieve container logs for containerd://2f9ac4fe",
    'rpc error: code = NotFound desc = an error occurred when try to find container "2f9ac4fe": not found',
]


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_of_the_node_is_left_out(error: str) -> None:
    assert without_node_words(error) == ""
    assert without_node_words(f"one\ntwo\n{error}") == "one\ntwo\n"


@pytest.mark.parametrize("log", ["", "one", "one\n", f"{SYMLINKS}\n", f"said: {SYMLINKS}", f"{SYMLINKS}\nmore"])
def test_what_a_container_has_printed_is_kept(log: str) -> None:
    assert without_node_words(log) == log


def test_a_claimed_pod_whose_log_is_gone_has_not_accepted_anything() -> None:
    assert acceptance_in(without_node_words(SYMLINKS), "attempt") == "unknown"
