"""The Kubernetes manifests: fields that the API knows, and names that lead to something."""

from __future__ import annotations

import re
from configparser import ConfigParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.config.profiles import read_profiles
from hybrid_executor.kube.overrides import read_overrides
from hybrid_executor.routing import parse_routes

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "workers" / "manifests"
README = (FOLDER / "README.md").read_text()
OBJECTS: list[dict[str, Any]] = [
    document for path in sorted(FOLDER.glob("*.yaml")) for document in yaml.safe_load_all(path.read_text())
]
DATA: dict[str, dict[str, str]] = {
    item["metadata"]["name"]: item["data"] for item in OBJECTS if item["kind"] == "ConfigMap"
}
TEMPLATE = yaml.safe_load(DATA["hybrid-files"]["pod_template.yaml"])
SHIPPED_TEMPLATE = yaml.safe_load((ROOT / "conf" / "pod_template.yaml").read_text())
PODS = {item["metadata"]["name"]: item["spec"]["template"] for item in OBJECTS if item["kind"] == "Deployment"}
MODELS = {
    ("v1", "Namespace"): "V1Namespace",
    ("v1", "ConfigMap"): "V1ConfigMap",
    ("v1", "Pod"): "V1Pod",
    ("v1", "ServiceAccount"): "V1ServiceAccount",
    ("apps/v1", "Deployment"): "V1Deployment",
    ("rbac.authorization.k8s.io/v1", "Role"): "V1Role",
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): "V1RoleBinding",
}
PLAIN = {"str": str, "int": int, "bool": bool}


def faults(value: Any, wanted: str, path: str) -> list[str]:
    """Return where a value differs from a type of the official client, by its name there."""
    listed = re.fullmatch(r"list\[(.+)\]", wanted, re.IGNORECASE)
    mapped = re.fullmatch(r"dict[(\[]\w+, (.+)[)\]]", wanted, re.IGNORECASE)
    if listed:
        if not isinstance(value, list):
            return [f"{path} is no list"]
        return [fault for index, item in enumerate(value) for fault in faults(item, listed[1], f"{path}[{index}]")]
    if mapped:
        return [fault for key, item in value.items() for fault in faults(item, mapped[1], f"{path}.{key}")]
    if wanted in PLAIN:
        return [] if type(value) is PLAIN[wanted] else [f"{path} is no {wanted}"]
    model: Any = getattr(client, wanted, None)
    if model is None:
        return []
    names = {json_name: name for name, json_name in model.attribute_map.items()}
    found = [f"{path}.{key} is unknown" for key in value if key not in names]
    return found + [
        fault
        for key, item in value.items()
        if key in names
        for fault in faults(item, model.openapi_types[names[key]], f"{path}.{key}")
    ]


@pytest.mark.parametrize(
    "item", [*OBJECTS, TEMPLATE, SHIPPED_TEMPLATE], ids=lambda item: f"{item['kind']}-{item['metadata']['name']}"
)
def test_every_field_is_one_of_the_api(item: dict[str, Any]) -> None:
    assert faults(item, MODELS[item["apiVersion"], item["kind"]], item["kind"]) == []


def test_a_misspelt_field_or_a_wrong_type_is_found() -> None:
    pod = {"spec": {"containers": [{"name": "base", "imagee": "x", "env": [{"name": "A", "value": 1}]}]}}
    assert faults(pod, "V1Pod", "Pod") == [
        "Pod.spec.containers[0].imagee is unknown",
        "Pod.spec.containers[0].env[0].value is no str",
    ]


def test_everything_is_in_one_namespace_which_is_made() -> None:
    assert [item["metadata"]["name"] for item in OBJECTS if item["kind"] == "Namespace"] == ["airflow"]
    assert {item["metadata"]["namespace"] for item in OBJECTS if item["kind"] != "Namespace"} == {"airflow"}
    assert DATA["hybrid-config"]["AIRFLOW__KUBERNETES_EXECUTOR__NAMESPACE"] == "airflow"


def references(pod: dict[str, Any]) -> tuple[set[str], set[tuple[str, str]]]:
    """Return the config maps, and the keys of secrets, that a pod needs."""
    spec = pod["spec"]
    maps = {volume["configMap"]["name"] for volume in spec.get("volumes", []) if "configMap" in volume}
    secrets = set()
    for container in spec["containers"]:
        maps |= {source["configMapRef"]["name"] for source in container.get("envFrom", [])}
        for variable in container.get("env", []):
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            if reference:
                secrets.add((reference["name"], reference["key"]))
    return maps, secrets


@pytest.mark.parametrize("name", PODS)
def test_config_maps_are_there_and_secrets_are_explained(name: str) -> None:
    maps, secrets = references(PODS[name])
    assert maps == {"hybrid-config", "hybrid-files"} <= set(DATA)
    for secret, key in secrets:
        assert f"| `{secret}` | `{key}` |" in README
        assert f"create secret generic {secret} --from-literal={key}=" in README


@pytest.mark.parametrize("name", PODS)
def test_files_that_options_name_are_mounted(name: str) -> None:
    [container] = PODS[name]["spec"]["containers"]
    mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert mounted["/etc/hybrid"] == "files"
    named = {value for value in DATA["hybrid-config"].values() if value.startswith("/")}
    assert named == {f"/etc/hybrid/{file}" for file in DATA["hybrid-files"]}


def test_agents_and_workers_know_the_routes_and_the_profiles_in_them(tmp_path: Path) -> None:
    path = tmp_path / "profiles.yaml"
    path.write_text(DATA["hybrid-files"]["profiles.yaml"])
    profiles = read_profiles(str(path))
    routes = parse_routes(DATA["hybrid-config"]["AIRFLOW__HYBRID_EXECUTOR__ROUTES"], profiles=profiles)
    assert routes.profiles == ("gpu",)
    assert read_overrides(profiles["gpu"].executor_config).pod["metadata"]["labels"]
    assert DATA["hybrid-config"]["AIRFLOW__HYBRID_EXECUTOR__AGENT"] == "external"
    assert KubernetesSettings().in_cluster


def test_the_image_has_the_version_of_the_package() -> None:
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg")
    images = {container["image"] for pod in [*PODS.values(), TEMPLATE] for container in pod["spec"]["containers"]}
    assert images == {f"airflow-hybrid-executor:{parser['metadata']['version']}"}


@pytest.mark.parametrize("pod", [*PODS.values(), TEMPLATE], ids=[*PODS, "template"])
def test_pods_keep_the_restricted_standard(pod: dict[str, Any]) -> None:
    # https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
    context = pod["spec"]["securityContext"]
    assert context["runAsNonRoot"] is True
    # Airflow's image: user 50000, group 0.
    assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (50000, 0, 0)
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["spec"]["containers"]:
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def test_pods_reach_the_api_server_from_every_namespace() -> None:
    address = DATA["hybrid-config"]["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"]
    assert address == "http://airflow-api-server.airflow.svc:8080/execution/"
    [base] = TEMPLATE["spec"]["containers"]
    assert {"name": "AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "value": address} in base["env"]


def test_a_worker_serves_its_logs_at_an_address_and_stops_in_time() -> None:
    spec = PODS["hybrid-worker"]["spec"]
    [container] = spec["containers"]
    environment = {variable["name"]: variable for variable in container["env"]}
    # A Deployment's pods have no names in DNS.
    assert environment["AIRFLOW__CORE__HOSTNAME_CALLABLE"]["value"] == "airflow.utils.net.get_host_ip_address"
    assert environment["AIRFLOW__API__SECRET_KEY"]["valueFrom"]["secretKeyRef"]["name"] == "hybrid-api"
    assert {"name": "logs", "mountPath": "/opt/airflow/logs"} in container["volumeMounts"]
    assert environment["DUMB_INIT_SETSID"]["value"] == "0"
    timeout = int(environment["AIRFLOW__HYBRID_EXECUTOR__WORKER_SHUTDOWN_TIMEOUT"]["value"])
    assert 0 < timeout + 10 <= spec["terminationGracePeriodSeconds"]


def test_the_function_that_workers_tell_their_address_with_is_airflows() -> None:
    from airflow.utils.net import get_host_ip_address

    assert callable(get_host_ip_address)


@pytest.mark.parametrize("name", ["hybrid-agent", "hybrid-worker"])
def test_agents_and_workers_are_probed_from_their_start(name: str) -> None:
    [container] = PODS[name]["spec"]["containers"]
    commands = [container[probe]["exec"]["command"] for probe in ("startupProbe", "livenessProbe")]
    module = "hybrid_executor.agent.probe" if name == "hybrid-agent" else "hybrid_workers.probe"
    assert commands == [["python", "-m", module]] * 2
    assert find_spec(module)


def test_rights_go_to_the_agent_and_to_a_scheduler_with_an_agent_of_its_own() -> None:
    accounts = {
        item["metadata"]["name"]: {subject["name"] for subject in item["subjects"]}
        for item in OBJECTS
        if item["kind"] == "RoleBinding"
    }
    assert accounts == {
        "hybrid-agent": {"hybrid-agent", "airflow-scheduler"},
        "hybrid-log-reader": {"airflow-api-server"},
    }
    assert PODS["hybrid-agent"]["spec"]["serviceAccountName"] == "hybrid-agent"
    assert PODS["hybrid-worker"]["spec"]["automountServiceAccountToken"] is False
