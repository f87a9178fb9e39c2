"""Errors of image pulls in the words of container runtimes: which pass by themselves."""

from __future__ import annotations

import pytest

from hybrid_executor.kube.registry import may_pass

PULL = 'failed to pull and unpack image "docker.io/library/x:503": failed to resolve reference: '


@pytest.mark.parametrize(
    "words",
    [
        "unexpected status from HEAD request to https://r.io/v2/x/manifests/1: 503 Service Unavailable",
        "unexpected status code https://r.io/v2/x/manifests/1: 429 Too Many Requests",
        "unexpected status code [manifests 1]: 500 Internal Server Error",
        "received unexpected HTTP status: 502 Bad Gateway",
        "toomanyrequests: You have reached your unauthenticated pull rate limit.",
        "reading manifest 1 in r.io/x: received unexpected HTTP status: 504 Gateway Timeout",
        'Get "https://r.io/v2/": dial tcp 10.0.0.1:443: i/o timeout',
        'Get "https://r.io/v2/": dial tcp 10.0.0.1:443: connect: connection refused',
        'Get "https://r.io/v2/": net/http: TLS handshake timeout',
        'Head "https://r.io/v2/": dial tcp: lookup r.io on 10.96.0.10:53: server misbehaving',
        "rpc error: code = Unavailable desc = connection error",
        "failed to copy: httpReadSeeker: failed open: unexpected EOF",
        "pull QPS exceeded",
    ],
)
def test_a_registry_that_is_busy_or_out_of_reach_passes(words: str) -> None:
    assert may_pass(PULL + words)


@pytest.mark.parametrize(
    "words",
    [
        "docker.io/library/x:503: not found",
        "pull access denied, repository does not exist or may require authorization",
        "unexpected status from HEAD request to https://r.io/v2/x/manifests/500: 403 Forbidden",
        "401 Unauthorized",
        "manifest unknown: manifest x:429 unknown",
        "no match for platform in manifest sha256:5000000000000000000000000000000000000000000000000000000000000429",
        "dial tcp: lookup misspelt.example on 10.96.0.10:53: no such host",
        "",
    ],
)
def test_an_image_that_is_not_there_or_not_allowed_does_not_pass(words: str) -> None:
    assert not may_pass(PULL + words)
