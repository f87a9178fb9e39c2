"""Credentials that change while a client works: each call goes on with the new ones, and no error shows any of them."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.errors import KubeError, KubeUnavailable
from hybrid_executor.kube.client import KubeClient, connect
from hybrid_executor.sandbox.server import SandboxServer
from tests.contract.kube_cluster import pod, until
from tests.kube_front import KubeFront

OLD, NEW = "marked-token-old", "marked-token-new"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(runs_pods=False, bookmark_seconds=0.1) as server:
        yield server


@pytest.fixture
def front(sandbox: SandboxServer, tmp_path: Path) -> Iterator[KubeFront]:
    opened = KubeFront(sandbox, tmp_path)
    opened.tokens = {OLD}
    yield opened
    opened.close()


def client_of(kubeconfig: Path) -> KubeClient:
    return connect(KubernetesSettings(in_cluster=False, config_file=str(kubeconfig)))


def every_call(client: KubeClient, name: str) -> None:
    """Make each kind of call that agents make; all of them must be answered."""
    client.create_pod("default", pod(name))
    client.patch_pod("default", name, {"metadata": {"labels": {"x": "y"}}})
    assert name in {item["metadata"]["name"] for item in client.list_pods("default", "").items}
    assert client.read_pod_log("default", name, container="base", tail_lines=5) == ""
    assert client.delete_pod("default", name, grace_period_seconds=0)


CALLS: dict[str, Callable[[KubeClient], object]] = {
    "list": lambda client: client.list_pods("default", ""),
    "create": lambda client: client.create_pod("default", pod("created-after")),
    "delete": lambda client: client.delete_pod("default", "nobody"),
    "watch": lambda client: client.watch_pods("default", "", "", silence_seconds=5).stop(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_token_in_a_rewritten_kubeconfig_is_used_by_the_very_call_that_met_the_refusal(
    front: KubeFront, call: Callable[[KubeClient], object]
) -> None:
    client = client_of(front.write_kubeconfig({"token": OLD}))
    client.list_pods("default", "")
    front.write_kubeconfig({"token": NEW})
    front.tokens = {NEW}
    call(client)
    assert front.seen[-1] == f"Bearer {NEW}"
    client.delete_pod("default", "created-after", grace_period_seconds=0)
    client.close()


def test_a_rewritten_token_file_is_read_again(front: KubeFront) -> None:
    token = front.folder / "token"
    token.write_text(OLD + "\n")
    client = client_of(front.write_kubeconfig({"tokenFile": str(token)}))
    every_call(client, "token-file-old")
    token.write_text(NEW + "\n")
    front.tokens = {NEW}
    every_call(client, "token-file-new")
    client.close()


def test_the_rotated_token_of_a_service_account_is_read_before_its_minute_is_over(
    front: KubeFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = front.folder / "token"
    token.write_text(OLD + "\n")
    monkeypatch.setattr("kubernetes.config.incluster_config.SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr("kubernetes.config.incluster_config.SERVICE_CERT_FILENAME", str(front.authority))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(front.port))
    client = connect(KubernetesSettings(in_cluster=True))
    every_call(client, "account-old")
    token.write_text(NEW + "\n")
    front.tokens = {NEW}
    every_call(client, "account-new")
    client.close()


def test_an_exec_plugin_runs_again_when_its_token_was_revoked_early(front: KubeFront) -> None:
    token = front.folder / "token"
    token.write_text(OLD)
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
    script = (
        "import json, pathlib\n"
        f"token = pathlib.Path({str(token)!r}).read_text()\n"
        f"print(json.dumps({{**{credential!r}, 'status': {{'token': token}}}}))\n"
    )
    plugin = {"apiVersion": credential["apiVersion"], "command": sys.executable, "args": ["-c", script]}
    client = client_of(front.write_kubeconfig({"exec": {**plugin, "interactiveMode": "Never"}}))
    every_call(client, "exec-old")
    token.write_text(NEW)
    front.tokens = {NEW}
    every_call(client, "exec-new")
    client.close()


def test_rotated_client_certificates_are_read_again(front: KubeFront) -> None:
    certificate = front.folder / "mine.pem"
    certificate.write_bytes(front.client_certificate("old").read_bytes())
    front.tokens, front.clients = set(), {"old"}
    client = client_of(front.write_kubeconfig({"client-certificate": str(certificate), "client-key": str(certificate)}))
    every_call(client, "certificate-old")
    certificate.write_bytes(front.client_certificate("new").read_bytes())
    front.clients = {"new"}
    every_call(client, "certificate-new")
    client.close()


def test_files_that_the_library_keeps_in_tmp_may_be_cleaned_away(front: KubeFront) -> None:
    from kubernetes.config import kube_config

    certificate = front.client_certificate("me").read_bytes()
    front.tokens, front.clients = set(), {"me"}
    data = base64.b64encode(certificate).decode()
    ca = {"certificate-authority-data": base64.b64encode(front.authority.read_bytes()).decode()}
    kubeconfig = front.write_kubeconfig({"client-certificate-data": data, "client-key-data": data}, ca=ca)
    client = client_of(kubeconfig)
    every_call(client, "cleaned-before")
    for file in kube_config._temp_files.values():
        os.unlink(file)
    client.close()  # idle connections end, as they do after a while
    every_call(client, "cleaned-after")
    client.close()


def test_an_api_server_that_moved_is_found_by_the_rewritten_kubeconfig(
    front: KubeFront, sandbox: SandboxServer
) -> None:
    file = front.write_kubeconfig({"token": OLD})
    content = yaml.safe_load(file.read_text())
    content["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    file.write_text(yaml.safe_dump(content))
    client = client_of(file)
    front.write_kubeconfig({"token": OLD})
    every_call(client, "moved")
    client.close()


def test_credentials_that_stay_wrong_say_expired_show_nothing_and_are_loaded_rarely(front: KubeFront) -> None:
    runs = front.folder / "runs"
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": NEW}}
    script = f"open({str(runs)!r}, 'a').write('x')\nprint({json.dumps(credential)!r})\n"
    plugin = {"apiVersion": credential["apiVersion"], "command": sys.executable, "args": ["-c", script]}
    client = client_of(front.write_kubeconfig({"exec": {**plugin, "interactiveMode": "Never"}}))
    errors = []
    for _ in range(20):
        with pytest.raises(KubeError) as caught:
            client.list_pods("default", "")
        errors.append(caught.value)
    assert {error.status for error in errors} == {401}
    assert all("credentials expired or rejected" in str(error) for error in errors)
    assert not any(word in str(error) for error in errors for word in (NEW, "grant"))
    assert len(runs.read_text()) < 10
    client.close()


@pytest.mark.parametrize("token", ["two\nlines-marked", "snow\u2603man-marked"])
def test_a_token_that_no_header_may_hold_is_an_error_without_the_token(front: KubeFront, token: str) -> None:
    client = client_of(front.write_kubeconfig({"token": token}))
    with pytest.raises(KubeUnavailable, match="line break or another character") as caught:
        client.list_pods("default", "")
    assert "marked" not in repr((caught.value, caught.value.__cause__, caught.value.__context__))
    client.close()


def test_a_kubeconfig_that_is_being_written_is_waited_for(front: KubeFront) -> None:
    file = front.write_kubeconfig({"token": OLD})
    client = client_of(file)
    whole = file.read_text()
    file.write_text("users: [\x00" + OLD)
    front.tokens = {NEW}
    with pytest.raises(KubeUnavailable, match="cannot be loaded again") as caught:
        client.list_pods("default", "")
    assert OLD not in str(caught.value)
    file.write_text(whole.replace(OLD, NEW))

    def answers() -> bool:
        try:
            client.list_pods("default", "")
        except KubeError:
            return False
        return True

    until(answers)
    client.close()
