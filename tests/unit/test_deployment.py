"""Manifests for KEDA, values of the Helm chart, and systemd units: known fields, and numbers that fit together."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from hybrid_executor.config import DictConfig, read_settings
from hybrid_executor.config.celery_table import CELERY_OPTIONS
from tests.unit.test_manifests import DATA, MODELS, PODS, README, faults

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "workers" / "manifests"
SCALER = list(yaml.safe_load_all((MANIFESTS / "keda" / "scaler.yaml").read_text()))
SCALED = list(yaml.safe_load_all((MANIFESTS / "keda" / "scaled_objects.yaml").read_text()))
VALUES: dict[str, Any] = yaml.safe_load((MANIFESTS / "helm" / "values.yaml").read_text())
UNITS = sorted((ROOT / "workers" / "systemd").glob("*.service"))
STOPPING = 30
"""Seconds that a worker needs to report and end what has run into its limit."""


def closed(**properties: Any) -> dict[str, Any]:
    """Return the schema of an object with these properties and no others."""
    return {"type": "object", "properties": properties, "additionalProperties": False}


TEXT, COUNT = {"type": "string"}, {"type": "integer", "minimum": 0}
METADATA = {**closed(name=TEXT, namespace=TEXT), "required": ["name", "namespace"]}
# What is used of the CRDs of KEDA 2.18, and of the metadata that its metrics-api trigger reads.
SCALED_OBJECT = closed(
    scaleTargetRef={**closed(name=TEXT, kind=TEXT, apiVersion=TEXT), "required": ["name"]},
    pollingInterval=COUNT,
    cooldownPeriod=COUNT,
    minReplicaCount=COUNT,
    maxReplicaCount=COUNT,
    fallback={
        **closed(
            failureThreshold=COUNT,
            replicas={"type": "integer", "minimum": 1},  # with 0, KEDA would scale to zero at an error
            behavior={"enum": ["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"]},
        ),
        "required": ["failureThreshold", "replicas"],
    },
    advanced=closed(
        horizontalPodAutoscalerConfig=closed(behavior=closed(scaleDown=closed(stabilizationWindowSeconds=COUNT)))
    ),
    triggers={
        "type": "array",
        "items": {
            **closed(
                type={"const": "metrics-api"},
                metadata={
                    **closed(
                        url=TEXT,
                        valueLocation={"const": "value"},
                        targetValue={"type": "string", "pattern": r"^[1-9]\d*$"},
                        activationTargetValue={"const": "0"},
                        authMode={"const": "bearer"},
                    ),
                    "required": ["url", "valueLocation", "targetValue"],
                },
                authenticationRef=closed(name=TEXT, kind=TEXT),
            ),
            "required": ["type", "metadata"],
        },
    },
)
AUTHENTICATION = closed(secretTargetRef={"type": "array", "items": closed(parameter=TEXT, name=TEXT, key=TEXT)})
SCHEMAS = {
    kind: {
        **closed(apiVersion={"const": "keda.sh/v1alpha1"}, kind={"const": kind}, metadata=METADATA, spec=spec),
        "required": ["apiVersion", "kind", "metadata", "spec"],
    }
    for kind, spec in (("ScaledObject", SCALED_OBJECT), ("TriggerAuthentication", AUTHENTICATION))
}
SCALED_OBJECTS = {item["metadata"]["name"]: item["spec"] for item in SCALED if item["kind"] == "ScaledObject"}


# ---- KEDA ----


@pytest.mark.parametrize("item", SCALED, ids=lambda item: f"{item['kind']}-{item['metadata']['name']}")
def test_the_objects_of_keda_have_known_fields(item: dict[str, Any]) -> None:
    jsonschema.validate(item, SCHEMAS[item["kind"]])


def test_a_misspelt_field_of_keda_is_found() -> None:
    item = {**SCALED[1], "spec": {**SCALED[1]["spec"], "cooldownPeriods": 3}}
    with pytest.raises(jsonschema.ValidationError, match="cooldownPeriods"):
        jsonschema.validate(item, SCHEMAS["ScaledObject"])


@pytest.mark.parametrize("item", SCALER, ids=lambda item: f"{item['kind']}-{item['metadata']['name']}")
def test_every_field_of_the_scaler_is_one_of_the_api(item: dict[str, Any]) -> None:
    models = {**MODELS, ("v1", "Service"): "V1Service"}
    assert faults(item, models[item["apiVersion"], item["kind"]], item["kind"]) == []


@pytest.mark.parametrize(("name", "path"), [("hybrid-worker", "queues/default"), ("hybrid-agent", "agents/default")])
def test_each_scaled_deployment_exists_and_is_asked_about_where_the_scaler_listens(name: str, path: str) -> None:
    spec = SCALED_OBJECTS[name]
    assert spec["scaleTargetRef"]["name"] == name in PODS
    [trigger] = spec["triggers"]
    deployment, service = SCALER
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    port = service["spec"]["ports"][0]["port"]
    assert container["ports"] == [{"name": "http", "containerPort": port}]
    assert trigger["metadata"]["url"] == f"http://{service['metadata']['name']}.airflow.svc:{port}/{path}"
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
    settings = read_settings(
        DictConfig(
            {
                "hybrid_executor": {
                    "routes": DATA["hybrid-config"]["AIRFLOW__HYBRID_EXECUTOR__ROUTES"].replace(":gpu", "")
                }
            }
        )
    )
    kind, _, asked = path.partition("/")
    assert settings.routes.find(asked).pool == "celery" if kind == "queues" else asked in settings.clusters


def test_the_scaler_and_keda_have_the_same_token_and_the_scaler_has_no_rights() -> None:
    pod = SCALER[0]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    [secret] = [volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume]
    [mount] = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "token"]
    [reference] = SCALED[0]["spec"]["secretTargetRef"]
    assert (reference["parameter"], reference["name"]) == ("token", secret)
    assert f"{mount}/{reference['key']}" in container["args"]
    assert f"create secret generic {secret} --from-literal={reference['key']}=" in README
    arguments = container["args"]
    assert arguments[arguments.index("--host") + 1] == "0.0.0.0"


def test_the_target_of_workers_is_their_number_of_slots() -> None:
    # [celery] worker_concurrency is not set in the manifests: its default counts.
    [default] = [option.default for option in CELERY_OPTIONS if option.name == "worker_concurrency"]
    [trigger] = SCALED_OBJECTS["hybrid-worker"]["triggers"]
    assert trigger["metadata"]["targetValue"] == default
    assert "AIRFLOW__CELERY__WORKER_CONCURRENCY" not in DATA["hybrid-config"]
    assert "--concurrency" not in PODS["hybrid-worker"]["spec"]["containers"][0]["args"]


# ---- the Helm chart ----

# What is used of the values of Airflow's chart 1.18 to 1.20. "open" takes any keys.
CHART = {
    "executor": "string",
    "env": "list",
    "airflowVersion": "string",
    "defaultAirflowRepository": "string",
    "defaultAirflowTag": "string",
    "allowPodLaunching": "boolean",
    "config": "open",
    "volumes": "list",
    "volumeMounts": "list",
    "workers.replicas": "integer",
    "workers.args": "list",
    "workers.persistence.enabled": "boolean",
    "workers.terminationGracePeriodSeconds": "integer",
    "workers.env": "list",
    "workers.livenessProbe.command": "list",
    "workers.serviceAccount.automountServiceAccountToken": "boolean",
}
TYPES: dict[str, type] = {"string": str, "list": list, "boolean": bool, "integer": int, "open": dict}


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Return values by their path; what the chart takes as a whole is one value."""
    if path in CHART or not isinstance(value, dict):
        return {path: value}
    return {
        key: leaf for name, item in value.items() for key, leaf in leaves(item, f"{path}.{name}".strip(".")).items()
    }


def test_the_values_are_those_that_the_chart_knows() -> None:
    for path, value in leaves(VALUES).items():
        assert type(value) is TYPES[CHART[path]], path


def test_the_chart_makes_workers_and_the_environment_names_the_executor() -> None:
    # The chart's templates ask for "CeleryExecutor", and refuse config.core.executor.
    assert VALUES["executor"] == "CeleryExecutor"
    assert "core" not in VALUES["config"]
    assert {"name": "AIRFLOW__CORE__EXECUTOR", "value": "hybrid_executor.HybridExecutor"} in VALUES["env"]


def test_the_chart_and_the_manifests_say_the_same() -> None:
    config = {
        f"AIRFLOW__{section.upper()}__{name.upper()}": value
        for section, options in VALUES["config"].items()
        for name, value in options.items()
    }
    assert config.items() <= DATA["hybrid-config"].items()
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg")
    assert VALUES["defaultAirflowTag"] == parser["metadata"]["version"]
    assert (
        f"{VALUES['defaultAirflowRepository']}:{VALUES['defaultAirflowTag']}"
        == PODS["hybrid-agent"]["spec"]["containers"][0]["image"]
    )
    dockerfile = (ROOT / "workers" / "Dockerfile").read_text()
    assert f"apache/airflow:{VALUES['airflowVersion']}" in dockerfile
    [mount] = VALUES["volumeMounts"]
    assert mount["mountPath"] == "/etc/hybrid"


def test_workers_of_the_chart_end_their_tasks_before_kubernetes_does() -> None:
    environment = {variable["name"]: variable["value"] for variable in VALUES["workers"]["env"]}
    limit = int(environment["AIRFLOW__HYBRID_EXECUTOR__WORKER_SHUTDOWN_TIMEOUT"])
    assert limit + STOPPING == VALUES["workers"]["terminationGracePeriodSeconds"]


@pytest.mark.skipif(
    not (os.environ.get("HYBRID_HELM_CHART") and shutil.which("helm")),
    reason="needs helm, and HYBRID_HELM_CHART with the folder of Airflow's chart",
)
def test_the_chart_renders_the_values() -> None:
    chart = os.environ["HYBRID_HELM_CHART"]
    command = ["helm", "template", "airflow", chart, "--namespace", "airflow"]
    command += ["--values", str(MANIFESTS / "helm" / "values.yaml"), "--set", "postgresql.enabled=false"]
    command += ["--set", "data.metadataConnection.host=database"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    rendered = {
        (item["kind"], item["metadata"]["name"]): item for item in yaml.safe_load_all(done.stdout) if item is not None
    }
    worker = rendered["Deployment", "airflow-worker"]["spec"]["template"]["spec"]
    container = worker["containers"][0]
    environment = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert environment["AIRFLOW__CORE__EXECUTOR"] == "hybrid_executor.HybridExecutor"
    assert environment["DUMB_INIT_SETSID"] == "0"
    assert "AIRFLOW__CELERY__BROKER_URL" in environment
    assert container["args"][-1] == "exec airflow hybrid worker --queues default"
    assert worker["terminationGracePeriodSeconds"] == VALUES["workers"]["terminationGracePeriodSeconds"]
    assert not [key for key in rendered if "pod-launcher" in key[1]]


# ---- systemd ----


def directives(unit: Path) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", unit.read_text(), re.MULTILINE))


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze: apt-get install systemd")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_accepts_the_units(unit: Path, tmp_path: Path) -> None:
    installed = str(Path(sys.executable).with_name("airflow"))
    instance = tmp_path / unit.name.replace("@.", "@reports.")
    instance.write_text(unit.read_text().replace("/opt/airflow/bin/airflow", installed))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(instance)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_signal_only_the_main_process_and_do_not_repeat_a_wrong_setting(unit: Path) -> None:
    found = directives(unit)
    assert found["KillMode"] == "mixed"
    assert found["RestartPreventExitStatus"] == "2"
    assert "airflow hybrid " in found["ExecStart"]


def test_a_stopped_worker_ends_its_tasks_before_systemd_does() -> None:
    [unit] = [unit for unit in UNITS if "worker" in unit.name]
    [limit] = re.findall(r"WORKER_SHUTDOWN_TIMEOUT=(\d+)", unit.read_text())
    assert int(limit) + STOPPING == int(directives(unit)["TimeoutStopSec"])
    assert directives(unit)["OOMPolicy"] == "continue"
