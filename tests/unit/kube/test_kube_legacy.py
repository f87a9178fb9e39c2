"""The documented ``executor_config={"KubernetesExecutor": {...}}``."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes import client as k8s

from hybrid_executor.errors import TaskRejected
from hybrid_executor.kube.overrides import Overrides, read_overrides


def convert(**settings: Any) -> dict[str, Any]:
    return dict(read_overrides({"KubernetesExecutor": settings}).pod)


def base(**settings: Any) -> dict[str, Any]:
    (container,) = convert(**settings)["spec"]["containers"]
    assert container.pop("name") == "base"
    result: dict[str, Any] = container
    return result


def test_the_documented_example_becomes_one_partial_pod() -> None:
    assert convert(
        namespace="ml",
        image="apache/airflow:latest",
        request_memory="1Gi",
        request_cpu="500m",
        limit_memory="2Gi",
        limit_cpu=1,
        labels={"team": "ml", "tier": 1},
        annotations={"note": "n"},
        env_vars={"A": "1", "B": 2},
        volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "c"}}],
        volume_mounts=[{"name": "data", "mount_path": "/data"}],
        node_selector={"gpu": "yes"},
        affinity={"nodeAffinity": {"x": []}},
        tolerations=[{"key": "gpu", "operator": "Exists"}],
    ) == {
        "metadata": {"namespace": "ml", "labels": {"team": "ml", "tier": "1"}, "annotations": {"note": "n"}},
        "spec": {
            "containers": [
                {
                    "name": "base",
                    "image": "apache/airflow:latest",
                    "resources": {
                        "requests": {"memory": "1Gi", "cpu": "500m"},
                        "limits": {"memory": "2Gi", "cpu": "1"},
                    },
                    "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                }
            ],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "c"}}],
            "nodeSelector": {"gpu": "yes"},
            "affinity": {"nodeAffinity": {"x": []}},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
        },
    }


def test_resources_and_single_amounts_add_up() -> None:
    found = base(resources={"requests": {"cpu": 1}}, limit_memory="2Gi", request_ephemeral_storage="1Gi", limit_gpu=1)
    assert found["resources"] == {
        "requests": {"cpu": "1", "ephemeral-storage": "1Gi"},
        "limits": {"memory": "2Gi", "nvidia.com/gpu": "1"},
    }


def test_models_of_the_kubernetes_library_are_understood() -> None:
    pod = convert(
        resources=k8s.V1ResourceRequirements(limits={"cpu": "1"}),
        volumes=[k8s.V1Volume(name="v", empty_dir=k8s.V1EmptyDirVolumeSource())],
        volume_mounts=[k8s.V1VolumeMount(name="v", mount_path="/v")],
        tolerations=[k8s.V1Toleration(key="gpu")],
        env_vars=[k8s.V1EnvVar(name="A", value="1")],
        image_pull_secrets=[k8s.V1LocalObjectReference(name="s")],
    )
    assert pod["spec"]["volumes"] == [{"name": "v", "emptyDir": {}}]
    assert pod["spec"]["tolerations"] == [{"key": "gpu"}]
    assert pod["spec"]["imagePullSecrets"] == [{"name": "s"}]
    assert pod["spec"]["containers"] == [
        {
            "name": "base",
            "resources": {"limits": {"cpu": "1"}},
            "volumeMounts": [{"name": "v", "mountPath": "/v"}],
            "env": [{"name": "A", "value": "1"}],
        }
    ]


def test_settings_of_the_pod_as_a_whole_reach_its_spec() -> None:
    assert convert(
        service_account_name="sa",
        image_pull_secrets="one, two",
        node_selectors={"a": "b"},
        security_context={"runAsUser": 50000},
        priority_class_name="high",
        hostnetwork=True,
        dnspolicy="ClusterFirstWithHostNet",
        schedulername="volcano",
        init_containers=[{"name": "i", "image": "x"}],
    )["spec"] == {
        "serviceAccountName": "sa",
        "imagePullSecrets": [{"name": "one"}, {"name": "two"}],
        "nodeSelector": {"a": "b"},
        "securityContext": {"runAsUser": 50000},
        "priorityClassName": "high",
        "hostNetwork": True,
        "dnsPolicy": "ClusterFirstWithHostNet",
        "schedulerName": "volcano",
        "initContainers": [{"name": "i", "image": "x"}],
    }


def test_container_settings_reach_the_container() -> None:
    assert base(image_pull_policy="Always", configmaps=["one"], envs={"A": "1"}, ports=[{"container_port": 80}]) == {
        "imagePullPolicy": "Always",
        "envFrom": [{"configMapRef": {"name": "one"}}],
        "env": [{"name": "A", "value": "1"}],
        "ports": [{"containerPort": 80}],
    }


def test_a_secret_becomes_a_variable() -> None:
    secret = {"deploy_type": "env", "deploy_target": "sql_conn", "secret": "airflow-secrets", "key": "conn"}
    reference = {"secretKeyRef": {"name": "airflow-secrets", "key": "conn"}}
    assert base(secrets=[secret]) == {"env": [{"name": "SQL_CONN", "valueFrom": reference}]}


def test_a_secret_without_target_gives_all_its_keys_to_the_environment() -> None:
    assert base(secrets=[{"deploy_type": "env", "secret": "s"}]) == {"envFrom": [{"secretRef": {"name": "s"}}]}


def test_a_secret_object_becomes_files_in_a_volume_named_the_same_each_time() -> None:
    secret = SimpleNamespace(deploy_type="volume", deploy_target="/etc/gcp", secret="gcp", key="key.json", items=None)
    pod = convert(secrets=[secret])
    assert pod == convert(secrets=[secret])
    (volume,) = pod["spec"]["volumes"]
    assert volume["secret"] == {"secretName": "gcp"}
    assert pod["spec"]["containers"][0]["volumeMounts"] == [
        {"name": volume["name"], "mountPath": "/etc/gcp", "readOnly": True}
    ]


def test_several_secrets_are_all_there() -> None:
    pod = convert(
        secrets=[
            {"deploy_type": "env", "deploy_target": "A", "secret": "s", "key": "a"},
            {"deploy_type": "env", "deploy_target": "B", "secret": "s", "key": "b"},
            {"deploy_type": "volume", "deploy_target": "/x", "secret": "s"},
            {"deploy_type": "volume", "deploy_target": "/y", "secret": "s", "items": [{"key": "k", "path": "p"}]},
        ]
    )
    assert [entry["name"] for entry in pod["spec"]["containers"][0]["env"]] == ["A", "B"]
    assert [mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]] == ["/x", "/y"]
    assert pod["spec"]["volumes"][1]["secret"] == {"secretName": "s", "items": [{"key": "k", "path": "p"}]}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"imagee": "x"}, "Did you mean 'image'? Known keys: affinity, annotations"),
        ({"requestmemory": "1Gi"}, "Did you mean 'request_memory'?"),
        ({"zzz": 1}, "Anything else can be set with 'pod_override'."),
        ({"image": 5}, "['image'] is int: write text that is not empty"),
        ({"namespace": ""}, "write text that is not empty"),
        ({"request_cpu": ["1"]}, "write a quantity"),
        ({"request_cpu": True}, "write a quantity"),
        ({"labels": "a=b"}, "write a dict"),
        ({"env_vars": "A=1"}, "write a list of dicts"),
        ({"env_vars": [{"value": "1"}]}, "needs a 'name'"),
        ({"volumes": {"name": "v"}}, "write a list of dicts"),
        ({"tolerations": ["gpu"]}, "write a list of dicts"),
        ({"hostnetwork": "yes"}, "write True or False"),
        ({"resources": {"cpu": 1}}, "write requests and limits"),
        ({"configmaps": [1]}, "write a list of names"),
        ({"secrets": "s"}, "write a list of secrets"),
        ({"secrets": [{"deploy_type": "file", "secret": "s"}]}, "deploy_type is 'file'"),
        ({"secrets": [{"deploy_type": "env", "deploy_target": "A", "secret": "s"}]}, "needs the secret's key"),
        ({"secrets": [{"deploy_type": "volume", "secret": "s"}]}, "needs deploy_target"),
        ({"secrets": [{"deploy_type": "env"}]}, "without the name of a secret"),
        ({"secrets": [{"type": "env", "secret": "s"}]}, "has no key 'type'"),
        ({"secrets": [5]}, "without the name of a secret"),
        ({"volumes": [{"name": object()}]}, "which a pod cannot have"),
    ],
)
def test_a_wrong_key_or_value_is_refused_with_what_to_write(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(TaskRejected) as caught:
        read_overrides({"KubernetesExecutor": settings})
    assert words in str(caught.value)
    assert "executor_config['KubernetesExecutor']" in str(caught.value)


def test_settings_that_are_no_dict_are_refused() -> None:
    with pytest.raises(TaskRejected, match=r"\['KubernetesExecutor'\] is str: write a dict"):
        read_overrides({"KubernetesExecutor": "image"})


def test_a_key_set_to_none_is_unset() -> None:
    assert read_overrides({"KubernetesExecutor": {"image": None, "labels": None}}) == Overrides()
