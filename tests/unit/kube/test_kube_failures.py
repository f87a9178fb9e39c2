"""Answers of the API as errors of ours. Answers are those of a real API server."""

from __future__ import annotations

import json
from typing import Any

import pytest
import urllib3
import urllib3.exceptions

from hybrid_executor.errors import KubeError, KubeGone, KubeUnavailable
from hybrid_executor.kube.failures import error_of_answer, error_of_silence, error_of_status


def status(code: int, reason: str, message: str, **rest: Any) -> bytes:
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }
    return json.dumps({**body, **rest}).encode()


def translate(code: int, body: bytes, headers: dict[str, str] | None = None) -> KubeError:
    return error_of_answer("create pod a/b", status=code, headers=headers or {}, body=body)


def test_a_conflict_keeps_status_reason_and_the_servers_words() -> None:
    error = translate(409, status(409, "AlreadyExists", 'pods "one" already exists'))
    assert type(error) is KubeError
    assert (error.status, error.reason) == (409, "AlreadyExists")
    assert str(error) == 'create pod a/b: HTTP 409 AlreadyExists: pods "one" already exists'


def test_a_plain_text_429_is_unavailable_with_the_servers_pause() -> None:
    error = translate(429, b"Too many requests, please try again later.\n", {"Retry-After": "1"})
    assert isinstance(error, KubeUnavailable)
    assert (error.status, error.reason, error.retry_after_seconds) == (429, "TooManyRequests", 1.0)
    assert "please try again later." in str(error)


def test_a_pause_may_stand_in_the_body() -> None:
    error = translate(
        429, status(429, "TooManyRequests", "busy", details={"retryAfterSeconds": 7}), {"Retry-After": "1"}
    )
    assert isinstance(error, KubeUnavailable)
    assert error.retry_after_seconds == 7.0


@pytest.mark.parametrize("header", ["Wed, 21 Oct 2026 07:28:00 GMT", "soon", "-3"])
def test_a_pause_that_is_no_number_of_seconds_counts_as_not_said(header: str) -> None:
    error = translate(503, b"", {"Retry-After": header})
    assert isinstance(error, KubeUnavailable)
    assert error.retry_after_seconds == 0.0


@pytest.mark.parametrize("code", [500, 502, 503, 504])
def test_server_errors_are_unavailable(code: int) -> None:
    assert isinstance(translate(code, b"<html>bad gateway</html>"), KubeUnavailable)


def test_410_is_gone_as_an_answer_and_as_an_event() -> None:
    words = "too old resource version: 1 (3564)"
    assert isinstance(translate(410, status(410, "Expired", words)), KubeGone)
    event = error_of_status("watch pods", json.loads(status(410, "Expired", words)))
    assert isinstance(event, KubeGone)
    assert words in str(event)


def test_an_error_event_without_a_code_is_unavailable() -> None:
    assert isinstance(
        error_of_status("watch pods", {"message": "etcd event received with PrevKv=nil"}), KubeUnavailable
    )


@pytest.mark.parametrize("code", [400, 401, 403, 404, 422])
def test_other_errors_are_neither_unavailable_nor_gone(code: int) -> None:
    assert type(translate(code, status(code, "X", "words"))) is KubeError


def test_a_token_that_the_server_quotes_is_hidden_and_long_words_are_cut() -> None:
    quoted = (
        'spec: Forbidden: {"args": ["--json-string", "{\\"token\\":\\"eyJhbGciOiJIUzUxMiJ9.eyJzdWIiOiJ4In0.c2ln\\"}"]}'
    )
    error = translate(422, status(422, "Invalid", quoted + "x" * 5000))
    assert "eyJhbGci" not in str(error)
    assert "<hidden>" in str(error)
    assert len(str(error)) <= 1000


def test_no_answer_is_unavailable_with_status_zero() -> None:
    error = error_of_silence("get pod a/b", ConnectionRefusedError(111, "Connection refused"))
    assert isinstance(error, KubeUnavailable)
    assert error.status == 0
    assert "get pod a/b: no answer from the Kubernetes API" in str(error)
    assert "Connection refused" in str(error)


def test_no_answer_is_told_without_the_url_of_the_request() -> None:
    with urllib3.PoolManager(retries=False) as pool, pytest.raises(urllib3.exceptions.NewConnectionError) as refused:
        pool.request("GET", "http://127.0.0.1:1/api")
    url = "/api/v1/pods?watch=true&resourceVersion=1017"
    whole = urllib3.exceptions.MaxRetryError(urllib3.HTTPConnectionPool("127.0.0.1"), url, refused.value)
    assert url in str(whole)
    text = str(error_of_silence("watch pods of default", whole))
    assert "resourceVersion" not in text
    assert text.endswith("Connection refused")


def test_an_untrusted_certificate_says_which_option_to_set() -> None:
    error = error_of_silence("get pod a/b", OSError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"))
    assert "[kubernetes_executor] ssl_ca_cert" in str(error)
