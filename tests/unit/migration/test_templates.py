"""Pod templates of Airflow 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybrid_executor.migration.templates import check_image, check_template

CORPUS = Path(__file__).parents[2] / "migration_corpus" / "templates"


def look(path: Path, **options: object) -> dict[str, list[str]]:
    """Return the findings by kind."""
    arguments: dict[str, object] = {"option": "any", "airflow_version": "3.3.2", "dags_folder": "/opt/airflow/dags"}
    found: dict[str, list[str]] = {}
    for finding in check_template(str(path), **{**arguments, **options}):  # type: ignore[arg-type]
        found.setdefault(finding.kind, []).append(finding.what)
    return found


def test_a_template_of_the_helm_chart_needs_image_and_address() -> None:
    found = look(CORPUS / "git_sync_2.10.yaml")
    assert found["change"] == [
        "image of base is apache/airflow:2.10.5, which is Airflow 2.10 by its tag",
        "pods do not know the address of the API server",
    ]
    assert found["gone"] == ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN is not used"]
    assert found["kept"] == ["a volume has the Dags: it is mounted at /opt/airflow/dags or above"]


def test_a_mounted_configuration_with_the_address_is_enough() -> None:
    found = look(CORPUS / "git_sync_2.10.yaml", has_address=True, image="apache/airflow:3.3.2")
    assert "change" not in found
    assert "the mounted airflow.cfg has the address of the API server" in found["kept"]


def test_a_placeholder_is_no_image_unless_the_options_name_one() -> None:
    path = CORPUS / "basic_template.yaml"
    assert any("placeholder" in words for words in look(path)["change"])
    assert not any("placeholder" in words for words in look(path, image="apache/airflow:3.3.2")["change"])


def test_everything_that_would_break_a_task_is_found() -> None:
    found = look(CORPUS / "strange.yaml")
    assert found["change"] == [
        "pods do not know the address of the API server",
        "command /bin/bash -c runs only the first word of the task's arguments",
        "the label kubernetes_executor belongs to Airflow's KubernetesExecutor",
    ]
    assert any("no container is named base" in words for words in found["behaviour"])
    assert any("restartPolicy is Always" in words for words in found["behaviour"])
    assert any("does not say which Airflow" in words for words in found["check"])
    assert any("did you mean volumeMounts?" in words for words in found["check"])
    assert found["gone"] == ["args are replaced", "the label hybrid-executor/instance is replaced"]


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        ("apache/airflow:3.3.0", "kept"),
        ("apache/airflow:3.3.2-python3.12", "kept"),
        ("apache/airflow:slim-3.3.2", "kept"),
        ("apache/airflow:3.1.8", "change"),
        ("apache/airflow:2.10.5-python3.11", "change"),
        ("registry.example.com:5000/etl:2.9.3-etl", "change"),
        ("registry.example.com:5000/etl", "check"),
        ("registry.example.com/etl:latest", "check"),
        ("registry.example.com/etl:2024.06", "check"),
        ("apache/airflow@sha256:aaaa", "check"),
    ],
)
def test_the_release_in_the_image_is_compared(image: str, kind: str) -> None:
    assert [finding.kind for finding in check_image(image, "3.3.2")] == [kind]


def test_a_missing_template_and_one_that_is_no_pod_are_named(tmp_path: Path) -> None:
    assert "cannot be read" in look(tmp_path / "none.yaml")["check"][0]
    (tmp_path / "bad.yaml").write_text("kind: Deployment\n")
    assert "not a Pod" in look(tmp_path / "bad.yaml")["change"][0]
    (tmp_path / "empty.yaml").write_text("kind: Pod\n")
    assert "there is no container" in look(tmp_path / "empty.yaml")["change"][0]
