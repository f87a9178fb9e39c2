"""Prints, as JSON, the pods that upstream's KubernetesExecutor makes of the corpus.

Run with the Python of an environment that has Airflow and apache-airflow-providers-cncf-kubernetes:

    python tests/pod_corpus/upstream.py > tests/pod_corpus/upstream.json
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
NAMESPACE = "tasks"
ARGUMENTS = ["python", "-m", "airflow.sdk.execution_time.execute_workload", "--json-string", "{}"]


def pod_of(case: dict[str, Any]) -> dict[str, Any]:
    """Return upstream's pod of a case, as it is sent to the API server."""
    import hooks
    from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
    from kubernetes.client import ApiClient, V1Pod

    client = ApiClient()
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(case["template"])
        file.flush()
        base = PodGenerator.deserialize_model_file(file.name)
    override = case.get("override")
    pod = PodGenerator.construct_pod(
        dag_id="dag",
        task_id="task",
        pod_id="name",
        try_number=1,
        kube_image=case.get("image"),
        date=None,
        args=ARGUMENTS,
        pod_override_object=client._ApiClient__deserialize_model(override, V1Pod) if override else None,
        base_worker_pod=base,
        namespace=NAMESPACE,
        scheduler_job_id="1",
        run_id="run",
    )
    if "hook" in case:
        getattr(hooks, case["hook"])(pod)
    return json.loads(json.dumps(client.sanitize_for_serialization(pod)))


def main() -> None:
    sys.path.insert(0, str(HERE))
    cases = yaml.safe_load((HERE / "cases.yaml").read_text())
    json.dump({case["name"]: pod_of(case) for case in cases}, sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
