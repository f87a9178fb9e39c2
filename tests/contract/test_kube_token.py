"""Tokens of kubeconfigs that were written with an editor: a line break at the end harms nothing and shows nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hybrid_executor.config import DictConfig
from hybrid_executor.config.kubernetes import read_kubernetes_settings
from hybrid_executor.errors import KubeUnavailable
from hybrid_executor.hiding import traceback_of
from hybrid_executor.kube.client import KubeClient, connect
from hybrid_executor.sandbox.server import SandboxServer

pytestmark = pytest.mark.kube


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Iterator[Path]:
    """The kubeconfig of a sandbox."""
    with SandboxServer() as server:
        server.write_kubeconfig(tmp_path / "kubeconfig")
        yield tmp_path / "kubeconfig"


def client_of(kubeconfig: Path, *, token_ends: str) -> tuple[KubeClient, str]:
    """Return a client whose token was changed, and the token."""
    config = json.loads(kubeconfig.read_text())
    user = config["users"][0]["user"]
    user["token"] = user["token"] + token_ends
    kubeconfig.write_text(json.dumps(config))
    section = {"in_cluster": "False", "config_file": str(kubeconfig)}
    return connect(read_kubernetes_settings(DictConfig({"kubernetes_executor": section}))), user["token"]


@pytest.mark.parametrize("ending", ["\n", "\r\n", " \n"])
def test_white_space_at_the_end_of_a_token_is_left_out(kubeconfig: Path, ending: str) -> None:
    client, _ = client_of(kubeconfig, token_ends=ending)
    assert client.list_pods("default", "").items == []
    client.close()


@pytest.mark.parametrize("ending", ["\nmore", "\u20acmore"])
def test_a_token_that_no_header_may_hold_is_told_without_being_shown(kubeconfig: Path, ending: str) -> None:
    client, token = client_of(kubeconfig, token_ends=ending)
    with pytest.raises(KubeUnavailable, match="token") as caught:
        client.list_pods("default", "")
    assert token[:20] not in traceback_of(caught.value)
    client.close()
