"""What errors of a pod's creation mean. Messages are those of a real API server."""

from __future__ import annotations

import pytest

from hybrid_executor.errors import KubeError, KubeGone, KubeUnavailable
from hybrid_executor.kube.refusal import judge_create_error

QUOTA = 'pods "x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2'
ENDING = 'pods "x" is forbidden: unable to create new content in namespace ending because it is being terminated'


def error(status: int, reason: str = "", message: str = "words", *, retry_after: float = 0.0) -> KubeError:
    if status == 410:
        return KubeGone(message, status=status, reason=reason)
    if status in (0, 429) or status >= 500:
        return KubeUnavailable(message, status=status, reason=reason, retry_after_seconds=retry_after)
    return KubeError(message, status=status, reason=reason)


def test_a_pod_of_that_name_is_the_one_that_was_wanted() -> None:
    assert judge_create_error(error(409, "AlreadyExists", 'pods "x" already exists')).action == "exists"


@pytest.mark.parametrize(
    ("status", "reason", "message"),
    [
        (409, "Conflict", "the object has been modified"),
        (410, "Expired", "too old resource version"),
        (429, "TooManyRequests", "please try again later"),
        (500, "InternalError", 'failed calling webhook "x"'),
        (502, "", ""),
        (503, "ServiceUnavailable", ""),
        (504, "Timeout", ""),
        (0, "", "Connection refused"),
        (401, "Unauthorized", "Unauthorized"),
        (403, "Forbidden", 'pods "x" is forbidden: not yet ready to handle request'),
        (403, "Forbidden", 'pods "x" is forbidden: status unknown for quota: q, resources: pods'),
    ],
)
def test_what_surely_passes_is_tried_again_for_as_long_as_the_workload_is_valid(
    status: int, reason: str, message: str
) -> None:
    refusal = judge_create_error(error(status, reason, message))
    assert (refusal.action, refusal.most_seconds) == ("retry", None)
    assert refusal.concerns in ("pod", "alike")


@pytest.mark.parametrize(
    ("status", "message", "concerns", "words", "most_seconds"),
    [
        (
            403,
            'pods "x" is forbidden: error looking up service account a/b: serviceaccount "b" not found',
            "account",
            "service account does not exist",
            60.0,
        ),
        (403, 'pods is forbidden: User "u" cannot create resource "pods"', "namespace", "right to create pods", 60.0),
        (404, 'namespaces "nope" not found', "namespace", "namespace does not exist", 15.0),
    ],
)
def test_what_may_be_repaired_soon_is_tried_again_for_a_bounded_time(
    status: int, message: str, concerns: str, words: str, most_seconds: float
) -> None:
    refusal = judge_create_error(error(status, "X", message), patience_seconds=60.0)
    assert (refusal.action, refusal.concerns, refusal.most_seconds) == ("retry", concerns, most_seconds)
    assert words in refusal.reason
    assert message in refusal.reason


def test_the_servers_pause_is_handed_on() -> None:
    assert judge_create_error(error(429, retry_after=3.0)).retry_after_seconds == 3.0


@pytest.mark.parametrize(
    ("message", "words", "concerns"),
    [(QUOTA, "Waiting for quota: q, requested: pods=1", "demand"), (ENDING, "being deleted", "namespace")],
)
def test_a_full_quota_and_an_ending_namespace_are_waited_for(message: str, words: str, concerns: str) -> None:
    refusal = judge_create_error(error(403, "Forbidden", message))
    assert (refusal.action, refusal.concerns, refusal.most_seconds) == ("retry", concerns, None)
    assert words in refusal.reason


@pytest.mark.parametrize(
    ("requested", "limited", "words"),
    [
        ("requests.nvidia.com/gpu=4", "requests.nvidia.com/gpu=2", "more requests.nvidia.com/gpu than quota q"),
        ("cpu=1500m,memory=2Gi", "cpu=1,memory=2Gi", "more cpu than quota q"),
        ("pods=1", "pods=0", "more pods than quota q"),
    ],
)
def test_a_request_that_never_fits_is_rejected_at_once(requested: str, limited: str, words: str) -> None:
    used = requested.replace("=", "=0")
    message = f'pods "x" is forbidden: exceeded quota: q, requested: {requested}, used: {used}, limited: {limited}'
    refusal = judge_create_error(error(403, "Forbidden", message))
    assert refusal.action == "reject"
    assert words in refusal.reason
    assert message in refusal.reason


def test_a_quota_in_words_that_cannot_be_read_keeps_back_only_what_asks_for_the_same() -> None:
    refusal = judge_create_error(error(403, "Forbidden", 'pods "x" is forbidden: exceeded quota: something new'))
    assert (refusal.action, refusal.concerns) == ("retry", "alike")


@pytest.mark.parametrize(
    ("status", "message", "words"),
    [
        (403, 'pods "x" is forbidden: maximum cpu usage per Container is 1, but limit is 2', "admission refused"),
        (403, 'pods "x" is forbidden: failed quota: q: must specify limits.memory', "needs requests or limits"),
        (403, 'admission webhook "w" denied the request: no', "admission refused"),
        (400, "strict decoding error", "fix its template, profile or executor_config"),
        (413, "Request entity too large", "too large"),
        (422, 'Pod "x" is invalid', "fix its template, profile or executor_config"),
        (500, "etcdserver: request is too large", "too large"),
    ],
)
def test_what_only_the_user_can_fix_is_rejected_with_words_for_them(status: int, message: str, words: str) -> None:
    refusal = judge_create_error(error(status, "X", message))
    assert refusal.action == "reject"
    assert words in refusal.reason
    assert message in refusal.reason
