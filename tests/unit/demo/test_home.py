"""Where a demo's DAGs come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybrid_executor.demo.home import dag_files, find_dags, plan_demo
from hybrid_executor.errors import ConfigError


def test_the_examples_of_the_source_tree_are_found() -> None:
    assert [path.name for path in dag_files(find_dags(None))] == ["sales_report.py"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--dags .*nowhere: there is no such folder"):
        find_dags(str(tmp_path / "nowhere"))


def test_a_folder_without_dag_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.py").write_text("x = 1\n")
    with pytest.raises(ConfigError, match=r"has no \.py file"):
        find_dags(str(tmp_path))


def test_the_demo_shares_nothing_with_the_airflow_of_this_machine(tmp_path: Path) -> None:
    plan = plan_demo(
        tmp_path, dags=tmp_path / "dags", environment={"AIRFLOW__CORE__EXECUTOR": "X", "KUBECONFIG": "/k"}, port=None
    )
    assert plan.environment == {}
    assert plan.options["AIRFLOW_HOME"] == str(tmp_path)
    assert plan.options["AIRFLOW__CORE__DAGS_FOLDER"] == str(tmp_path / "dags")
    assert plan.redis is None
    assert plan.runs_sandbox
