"""Dag files: found by their syntax, with what to write in each line."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybrid_executor.migration.configuration import Configuration
from hybrid_executor.migration.dag_reading import read_dags, read_file
from hybrid_executor.migration.report import Report, Request, migrate

CORPUS = Path(__file__).parents[2] / "migration_corpus"


def report_on(folder: Path, *, executor: str) -> Report:
    environment = {
        "AIRFLOW__CORE__EXECUTOR": executor,
        "AIRFLOW__CELERY__BROKER_URL": "redis://redis.example.com/0",
    }
    return migrate(Configuration(None, environment), Request(dags=folder, airflow_version="3.3.2"))


def advice(report: Report, file: str) -> dict[str, str]:
    """Return what to write by file and line."""
    return {
        finding.subject: finding.instead or finding.what
        for finding in report.findings
        if finding.subject.startswith(file)
    }


MULTI = "CeleryExecutor,pods:airflow.providers.cncf.kubernetes.executors.kubernetes_executor.KubernetesExecutor"


@pytest.fixture(scope="module")
def multi() -> Report:
    return report_on(CORPUS / "dags_multi", executor=MULTI)


def test_every_line_with_an_executor_says_which_queue_to_write(multi: Report) -> None:
    assert advice(multi, "heavy.py") == {
        "heavy.py:10": "queue='kubernetes' instead of executor='pods'",
        "heavy.py:11": "remove executor='KubernetesExecutor'; queue='big' stays",
        "heavy.py:12": "queue='etl' instead of executor='CeleryExecutor'",
        "heavy.py:13": "write queue= instead, with a queue whose route leads to the same pool",
        "heavy.py:15": "queue='kubernetes' instead of executor='pods'",
    }


def test_tasks_that_inherit_an_executor_are_followed(multi: Report) -> None:
    assert advice(multi, "all_in_pods.py") == {
        "all_in_pods.py:4": "'queue': 'kubernetes' instead of 'executor': 'pods'",
        "all_in_pods.py:8": "queue='kubernetes'",
        "all_in_pods.py:9": "queue='default' instead of executor='CeleryExecutor'",
    }


def test_the_routes_keep_each_task_where_it_ran(multi: Report) -> None:
    assert multi.variables["AIRFLOW__HYBRID_EXECUTOR__ROUTES"] == "big=kubernetes,kubernetes=kubernetes,*=celery"
    assert multi.queues
    assert all(move.pool == move.new_pool for move in multi.queues)
    assert {(move.executor, move.queue, move.new_queue, move.pool) for move in multi.queues} >= {
        ("", "etl", "etl", "celery"),
        ("KubernetesExecutor", "big", "big", "kubernetes"),
        ("pods", "default", "kubernetes", "kubernetes"),
    }


def test_removed_imports_and_refused_settings_of_pods_are_found() -> None:
    report = report_on(CORPUS / "dags_queue", executor="CeleryKubernetesExecutor")
    found = advice(report, "old_imports.py")
    assert found["old_imports.py:4"].startswith("remove the import")
    assert found["old_imports.py:5"] == "import from airflow.providers.cncf.kubernetes.secret"
    assert "Did you mean 'volumes'?" in found["old_imports.py:18"]
    assert "keep 'pod_override'" in found["old_imports.py:27"]
    assert len(found) == 4
    assert any(finding.subject == "/opt/airflow/special.yaml" for finding in report.findings)
    pools = {move.queue: (move.pool, move.new_pool, move.tasks) for move in report.queues}
    assert pools == {
        "": ("celery", "celery", 0),
        "kubernetes": ("kubernetes", "kubernetes", 3),
        "reports": ("celery", "celery", 1),
    }


def test_a_file_that_cannot_be_parsed_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "a_broken.py").write_text("with DAG('broken'\n")
    (tmp_path / "b_binary.py").write_bytes(b"\x00\xff")
    (tmp_path / "c_deep.py").write_text("x = " + "-" * 20000 + "1\n")
    (tmp_path / "d_gone.py").symlink_to(tmp_path / "nowhere.py")
    (tmp_path / "e_good.py").write_text("BashOperator(task_id='a', executor='KubernetesExecutor')\n")
    report = report_on(tmp_path, executor=MULTI)
    errors = {finding.subject: finding.what for finding in report.findings if "cannot be read" in finding.what}
    assert set(errors) == {"a_broken.py", "b_binary.py", "c_deep.py", "d_gone.py"}
    assert "line 1" in errors["a_broken.py"]
    assert advice(report, "e_good.py") == {"e_good.py:1": "queue='kubernetes' instead of executor='KubernetesExecutor'"}


def test_a_folder_that_links_to_itself_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "dag.py").write_text("x = 1\n")
    (tmp_path / "again").symlink_to(tmp_path)
    assert [file.path for file in read_dags(tmp_path)] == ["dag.py"]


NO_TASKS = {
    "a pool of threads": "from concurrent.futures import ThreadPoolExecutor\nrun(executor=ThreadPoolExecutor())",
    "a queue of messages": "client.send(queue='orders')",
    "an executor that is None": "BashOperator(task_id='a', executor=None)",
    "a word in a comment": "# executor='KubernetesExecutor'",
}


@pytest.mark.parametrize("name", NO_TASKS)
def test_what_is_no_task_is_left_alone(name: str, tmp_path: Path) -> None:
    path = tmp_path / "dag.py"
    path.write_text(NO_TASKS[name])
    assert read_file(path, name="dag.py").uses == ()


TASKS = {
    "partial": "BashOperator.partial(task_id='a', executor='pods').expand(bash_command=['x'])",
    "override": "work.override(executor='pods')()",
    "decorator": "@task.bash(executor='pods')\ndef a(): ...",
    "attribute": "t.executor = 'pods'",
    "constant": "WHERE: str = 'pods'\nMySensor(task_id='a', executor=WHERE)",
    "default arguments of a Dag": "@dag(default_args={'executor': 'pods'})\ndef d(): ...",
    "default arguments of a group": "TaskGroup('g', default_args=dict_of) ; default_args = {'executor': 'pods'}",
    "a function of one's own": "make_task('a', executor='pods')",
}


@pytest.mark.parametrize("name", TASKS)
def test_every_way_to_name_an_executor_is_found(name: str, tmp_path: Path) -> None:
    path = tmp_path / "dag.py"
    path.write_text(TASKS[name])
    assert [use.executor for use in read_file(path, name="dag.py").uses] == ["pods"]


def test_an_executor_that_is_not_configured_is_named(tmp_path: Path) -> None:
    (tmp_path / "dag.py").write_text("BashOperator(task_id='a', executor='EcsExecutor')\n")
    report = report_on(tmp_path, executor=MULTI)
    (finding,) = [finding for finding in report.findings if finding.subject == "dag.py:1"]
    assert finding.kind == "change"
    assert "is not configured" in finding.what


def test_tasks_of_an_executor_that_stays_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "dag.py").write_text("BashOperator(task_id='a', executor='EcsExecutor')\n")
    report = report_on(tmp_path, executor="CeleryExecutor,some.where.EcsExecutor")
    assert advice(report, "dag.py") == {}
    assert report.new_executor == "hybrid_executor.HybridExecutor,some.where.EcsExecutor"


def test_where_another_executor_stays_the_default_tasks_name_this_one(tmp_path: Path) -> None:
    (tmp_path / "dag.py").write_text("BashOperator(task_id='a', executor='KubernetesExecutor')\n")
    report = report_on(tmp_path, executor="LocalExecutor,CeleryExecutor,KubernetesExecutor")
    assert advice(report, "dag.py") == {
        "dag.py:1": "executor='HybridExecutor', queue='kubernetes' instead of executor='KubernetesExecutor'"
    }
