"""Where the API server is and who we are to it. Nothing is sent here."""

from __future__ import annotations

import base64
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client as k8s
from urllib3.util import Retry

from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.errors import ConfigError, KubeUnavailable
from hybrid_executor.kube.client import KubeClient
from hybrid_executor.kube.connection import keepalive_options, open_transport
from hybrid_executor.kube.examination import read_credentials


def kubeconfig(path: Path, user: dict[str, object], *, server: str = "http://127.0.0.1:1") -> str:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "contexts": [
            {"name": "one", "context": {"cluster": "one", "user": "me"}},
            {"name": "two", "context": {"cluster": "two", "user": "me"}},
        ],
        "clusters": [
            {"name": "one", "cluster": {"server": server}},
            {"name": "two", "cluster": {"server": "http://127.0.0.2:2"}},
        ],
        "users": [{"name": "me", "user": user}],
    }
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(path)


def test_a_kubeconfig_gives_address_and_credentials(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "config", {"token": "t"})
    transport = open_transport(KubernetesSettings(in_cluster=False, config_file=file))
    assert transport.host == "http://127.0.0.1:1"
    assert transport.credentials() == {"authorization": "Bearer t"}


def test_a_context_is_chosen_by_option_or_by_argument(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "config", {"token": "t"})
    configured = KubernetesSettings(in_cluster=False, config_file=file, cluster_context="two")
    assert open_transport(configured).host == "http://127.0.0.2:2"
    assert open_transport(configured, context="one").host == "http://127.0.0.1:1"


def test_a_profiles_file_is_used_although_the_configuration_is_in_cluster(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "config", {"token": "t"})
    assert open_transport(KubernetesSettings(in_cluster=True), config_file=file).host == "http://127.0.0.1:1"


def test_kubeconfig_of_the_environment_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path / "config", {"token": "t"}))
    assert open_transport(KubernetesSettings(in_cluster=False)).host == "http://127.0.0.1:1"


def test_basic_authentication_is_understood(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "config", {"username": "u", "password": "p"})
    transport = open_transport(KubernetesSettings(in_cluster=False, config_file=file))
    expected = "Basic " + base64.b64encode(b"u:p").decode()
    assert transport.credentials() == {"authorization": expected}


def exec_plugin(tmp_path: Path, expires: str) -> dict[str, object]:
    """A credential plugin that gives another token each time it runs."""
    counter = tmp_path / "runs"
    script = tmp_path / "plugin.py"
    script.write_text(
        "import json, pathlib\n"
        f"counter = pathlib.Path({str(counter)!r})\n"
        "runs = int(counter.read_text()) + 1 if counter.exists() else 1\n"
        "counter.write_text(str(runs))\n"
        "print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential',\n"
        f"    'status': {{'token': f'token-{{runs}}', 'expirationTimestamp': {expires!r}}}}}))\n",
        encoding="utf-8",
    )
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": sys.executable,
            "args": [str(script)],
            "interactiveMode": "Never",
        }
    }


def test_an_exec_plugin_is_asked_again_once_its_token_has_expired(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "config", exec_plugin(tmp_path, "2020-01-01T00:00:00Z"))
    transport = open_transport(KubernetesSettings(in_cluster=False, config_file=file))
    tokens = [transport.credentials()["authorization"] for _ in range(2)]
    assert tokens == ["Bearer token-2", "Bearer token-3"]


def test_an_exec_plugin_is_not_asked_again_while_its_token_lives(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "config", exec_plugin(tmp_path, "2120-01-01T00:00:00Z"))
    transport = open_transport(KubernetesSettings(in_cluster=False, config_file=file))
    assert {transport.credentials()["authorization"] for _ in range(3)} == {"Bearer token-1"}


def test_outside_of_kubernetes_the_error_says_which_options_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConfigError) as caught:
        open_transport(KubernetesSettings())
    assert "in_cluster = False" in str(caught.value)
    assert "config_file" in str(caught.value)


def test_in_a_pod_the_service_account_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("of-the-account", encoding="utf-8")
    (tmp_path / "ca.crt").write_text("certificate", encoding="utf-8")
    monkeypatch.setattr("kubernetes.config.incluster_config.SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr("kubernetes.config.incluster_config.SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    transport = open_transport(KubernetesSettings())
    assert transport.host == "https://10.0.0.1:443"
    assert transport.credentials() == {"authorization": "bearer of-the-account"}
    assert transport.pool.connection_pool_kw["ca_certs"] == str(tmp_path / "ca.crt")


@pytest.mark.parametrize("context", ["", "nope"])
def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path: Path, context: str) -> None:
    file = str(tmp_path / "none") if not context else kubeconfig(tmp_path / "config", {})
    with pytest.raises(ConfigError) as caught:
        open_transport(KubernetesSettings(in_cluster=False, config_file=file, cluster_context=context))
    assert file in str(caught.value)
    assert context in str(caught.value)


def make_client() -> k8s.CoreV1Api:
    configuration = k8s.Configuration()
    configuration.host = "http://127.0.0.3:3"
    configuration.api_key["authorization"] = "Bearer made"
    return k8s.CoreV1Api(k8s.ApiClient(configuration))


def make_nothing() -> None:
    return None


def test_a_client_factory_replaces_all_other_options() -> None:
    transport = open_transport(KubernetesSettings(client_factory=f"{__name__}.make_client"))
    assert transport.host == "http://127.0.0.3:3"
    assert transport.credentials() == {"authorization": "Bearer made"}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("make_client", "write module.function"),
        ("no_such_module.make", "cannot be imported"),
        (f"{__name__}.nope", "cannot be imported"),
        (f"{__name__}.make_nothing", "must return a kubernetes.client.CoreV1Api"),
    ],
)
def test_a_client_factory_that_does_not_work_is_a_configuration_error(path: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_transport(KubernetesSettings(client_factory=path))
    assert words in str(caught.value)


def test_keepalive_options_hold_the_configured_times() -> None:
    options = keepalive_options(KubernetesSettings(tcp_keep_idle=11, tcp_keep_intvl=12, tcp_keep_cnt=13))
    assert (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1) in options
    assert (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) in options
    assert {value for level, _, value in options if level == socket.IPPROTO_TCP} == {1, 11, 12, 13}


def test_tls_pool_and_retry_options_reach_the_connection_pool(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "config", {"token": "t"})
    settings = KubernetesSettings(
        in_cluster=False,
        config_file=file,
        verify_ssl=False,
        pod_creation_max_concurrency=40,
        retry_arguments={"total": 2},
        request_timeout=(1.0, 2.0),
    )
    transport = open_transport(settings)
    arguments = transport.pool.connection_pool_kw
    assert arguments["cert_reqs"] == 0
    assert arguments["maxsize"] >= 40
    assert transport.retry.total == 2
    assert isinstance(transport.retry, Retry)
    assert transport.timeout == (1.0, 2.0)


def test_retry_arguments_that_urllib3_does_not_know_are_a_configuration_error(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "config", {"token": "t"})
    with pytest.raises(ConfigError, match="api_client_retry_configuration"):
        open_transport(KubernetesSettings(in_cluster=False, config_file=file, retry_arguments={"attempts": 2}))


def test_a_service_account_whose_token_vanished_is_unavailable_and_not_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    monkeypatch.setattr(f"{__name__}.TOKEN", token)
    token.write_text("t", encoding="utf-8")
    transport = open_transport(KubernetesSettings(client_factory=f"{__name__}.make_refreshing_client"))
    assert transport.credentials() == {"authorization": "bearer t"}
    token.unlink()
    with pytest.raises(KubeUnavailable, match="could not be renewed"):
        transport.credentials()


def test_a_token_that_stands_in_a_kubeconfig_is_not_renewed_and_that_of_a_plugin_is(tmp_path: Path) -> None:
    def renews(user: dict[str, object]) -> bool:
        file = kubeconfig(tmp_path / "config", user)
        [credential] = read_credentials(
            KubeClient(open_transport(KubernetesSettings(in_cluster=False, config_file=file)))
        )
        return credential.is_renewed

    assert not renews({"token": "t"})
    assert renews(exec_plugin(tmp_path, "2120-01-01T00:00:00Z"))


TOKEN = Path("/nonexistent")


def make_refreshing_client() -> k8s.CoreV1Api:
    configuration: Any = k8s.Configuration()

    def refresh(target: k8s.Configuration) -> None:
        target.api_key["authorization"] = "bearer " + TOKEN.read_text(encoding="utf-8")

    configuration.api_key["authorization"] = "bearer old"
    configuration.refresh_api_key_hook = refresh
    return k8s.CoreV1Api(k8s.ApiClient(configuration))
