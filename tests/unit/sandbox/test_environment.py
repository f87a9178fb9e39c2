"""A container's command and environment."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hybrid_executor.sandbox.environment import (
    ContainerConfigError,
    container_command,
    container_environment,
    plain_data,
    pod_environment,
)
from hybrid_executor.sandbox.hostname import POD_NAME_VARIABLE, pod_hostname

POD: dict[str, Any] = {
    "metadata": {
        "name": "one",
        "namespace": "ns",
        "uid": "u-1",
        "labels": {"app.io/queue": "gpu"},
        "annotations": {"dag_id": "d"},
    },
    "spec": {"nodeName": "node-1"},
    "status": {"podIP": "127.0.0.1"},
}
DATA = {("secret", "s"): {"key": "hidden"}, ("configmap", "c"): {"A": "from-map", "B": "2"}}


def lookup(kind: str, name: str) -> Mapping[str, str] | None:
    return DATA.get((kind, name))


def resolve(*env: dict[str, Any], **container: Any) -> dict[str, str]:
    return container_environment({"BASE": "b"}, {"env": list(env), **container}, POD, lookup)


def test_variables_expand_those_before_them() -> None:
    environment = resolve(
        {"name": "A", "value": "1"},
        {"name": "B", "value": "$(A)$(BASE)-$(LATER)-$$(A)"},
        {"name": "LATER", "value": "2"},
    )
    assert environment == {"BASE": "b", "A": "1", "B": "1b-$(LATER)-$(A)", "LATER": "2"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "one"),
        ("metadata.namespace", "ns"),
        ("metadata.uid", "u-1"),
        ("metadata.labels['app.io/queue']", "gpu"),
        ("metadata.annotations['dag_id']", "d"),
        ("metadata.labels['nope']", ""),
        ("status.podIP", "127.0.0.1"),
        ("spec.nodeName", "node-1"),
    ],
)
def test_a_field_reference_gives_the_pods_field(path: str, value: str) -> None:
    assert resolve({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": path}}})["A"] == value


def test_secrets_and_config_maps_give_their_values_and_explicit_variables_win() -> None:
    environment = resolve(
        {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "key"}}},
        {"name": "A", "value": "mine"},
        envFrom=[{"configMapRef": {"name": "c"}}, {"prefix": "P_", "configMapRef": {"name": "c"}}],
    )
    assert environment == {"BASE": "b", "A": "mine", "B": "2", "P_A": "from-map", "P_B": "2", "S": "hidden"}


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ({"secretKeyRef": {"name": "nope", "key": "k"}}, 'secret "nope" not found'),
        ({"configMapKeyRef": {"name": "nope", "key": "k"}}, 'configmap "nope" not found'),
        ({"secretKeyRef": {"name": "s", "key": "nope"}}, "couldn't find key nope in Secret ns/s"),
    ],
)
def test_a_missing_reference_is_an_error_unless_it_is_optional(reference: dict[str, Any], words: str) -> None:
    with pytest.raises(ContainerConfigError, match=words):
        resolve({"name": "A", "valueFrom": reference})
    optional = {kind: {**target, "optional": True} for kind, target in reference.items()}
    assert "A" not in resolve({"name": "A", "valueFrom": optional})


def test_resource_references_give_the_containers_limits() -> None:
    reference = {"resourceFieldRef": {"resource": "limits.memory"}}
    environment = resolve({"name": "M", "valueFrom": reference}, resources={"limits": {"memory": "1Gi"}})
    assert environment["M"] == "1Gi"


def test_python_means_this_interpreter_and_arguments_follow_the_command() -> None:
    container = {"command": ["python", "-c"], "args": ["print('$(WHO)')"]}
    assert container_command(container, {"WHO": "me"}) == (sys.executable, "-c", "print('me')")
    assert container_command({"args": ["airflow", "version"]}, {}) == ("airflow", "version")
    assert container_command({}, {}) == ()


def test_every_pod_finds_this_interpreter_first_and_reports_its_own_name() -> None:
    environment = pod_environment({"PATH": "/bin", "KEEP": "1"}, POD)
    assert environment["PATH"] == f"{Path(sys.executable).parent}:/bin"
    assert environment["HOSTNAME"] == environment[POD_NAME_VARIABLE] == "one"
    assert environment["AIRFLOW__CORE__HOSTNAME_CALLABLE"] == "hybrid_executor.sandbox.hostname.pod_hostname"
    assert environment["KEEP"] == "1"


def test_the_host_name_is_the_pods_only_inside_of_a_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(POD_NAME_VARIABLE, "one")
    assert pod_hostname() == "one"
    monkeypatch.delenv(POD_NAME_VARIABLE)
    assert pod_hostname() == socket.getfqdn()


def test_secrets_are_decoded_and_config_maps_are_not() -> None:
    assert plain_data({"data": {"a": "aGk="}}, is_secret=True) == {"a": "hi"}
    assert plain_data({"data": {"a": "aGk="}}, is_secret=False) == {"a": "aGk="}
