"""Which proxy leads to an API server."""

from __future__ import annotations

import pytest

from hybrid_executor.kube.proxies import bypasses_proxy, proxy_for

HOST = "https://api.k8s.example.com:6443"


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({}, HOST, ""),
        ({"HTTPS_PROXY": "http://p:1"}, HOST, "http://p:1"),
        ({"https_proxy": "http://p:1"}, HOST, "http://p:1"),
        ({"https_proxy": "http://lower:1", "HTTPS_PROXY": "http://upper:1"}, HOST, "http://lower:1"),
        ({"https_proxy": "", "HTTPS_PROXY": "http://upper:1"}, HOST, ""),
        ({"HTTPS_PROXY": "p:1"}, HOST, "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, HOST, ""),
        ({"HTTP_PROXY": "http://p:1"}, "http://127.0.0.1:8080", "http://p:1"),
        ({"ALL_PROXY": "socks5h://p:1"}, HOST, "socks5h://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example.com"}, HOST, ""),
        ({"HTTPS_PROXY": "http://p:1", "no_proxy": "example.com"}, HOST, ""),
        ({"HTTPS_PROXY": "http://p:1", "no_proxy": "other.com", "NO_PROXY": "example.com"}, HOST, "http://p:1"),
    ],
)
def test_the_variables_of_the_environment_choose_the_proxy(environment: dict[str, str], url: str, proxy: str) -> None:
    assert proxy_for(url, environment) == proxy


@pytest.mark.parametrize(
    "no_proxy",
    [
        "*",
        "api.k8s.example.com",
        "API.K8S.Example.COM",
        ".example.com",
        "*.example.com",
        "other, k8s.example.com",
        "other k8s.example.com",
        "example.com:6443",
        "api.k8s.example.com:6443",
    ],
)
def test_a_name_is_excepted_by(no_proxy: str) -> None:
    assert bypasses_proxy(HOST, no_proxy)


@pytest.mark.parametrize(
    "no_proxy", ["", ",", " ", "ample.com", "example.com:443", "com.example", "10.0.0.0/8", "k8s", ".", "*."]
)
def test_a_name_is_not_excepted_by(no_proxy: str) -> None:
    assert not bypasses_proxy(HOST, no_proxy)


@pytest.mark.parametrize(
    ("url", "no_proxy", "expected"),
    [
        ("https://10.96.0.1", "10.96.0.1", True),
        ("https://10.96.0.1", "10.96.0.1:443", True),
        ("https://10.96.0.1:6443", "10.96.0.1:443", False),
        ("https://10.96.0.1", "10.0.0.0/8", True),
        ("https://10.96.0.1", "10.96.0.7/12", True),
        ("https://10.96.0.1", "192.168.0.0/16", False),
        ("https://10.96.0.1", "96.0.1", False),
        ("https://[fd00::1]:6443", "fd00::/8", True),
        ("https://[fd00::1]:6443", "[fd00::1]:6443", True),
        ("https://[fd00::1]:6443", "[fd00::1]:443", False),
        ("https://[fd00::1]:6443", "fd00:0:0::1", True),
        ("https://localhost:6443", "localhost", True),
        ("https://kubernetes.default.svc", ".svc", True),
        ("https://kubernetes.default.svc.", "svc", True),
    ],
)
def test_addresses_networks_and_ports(url: str, no_proxy: str, expected: bool) -> None:
    assert bypasses_proxy(url, no_proxy) is expected
