"""``airflow hybrid migrate``, through Airflow's own argument parser."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from airflow.cli import cli_parser

from hybrid_executor.config.options import DictConfig
from hybrid_executor.config.settings import read_settings
from hybrid_executor.migration.config_text import ConfigText

CORPUS = Path(__file__).parents[2] / "migration_corpus"
Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs the command and returns its exit code."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")

    def call(*arguments: object) -> int:
        args = cli_parser.get_parser().parse_args(["hybrid", "migrate", *map(str, arguments)])
        try:
            args.func(args)
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    return call


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "airflow.cfg"
    text = (CORPUS / "airflow-2.10.5.cfg").read_text()
    text = text.replace("executor = SequentialExecutor", "executor = CeleryKubernetesExecutor")
    text = text.replace("broker_url = redis://redis:6379/0", "broker_url = redis://:s3cret@redis.example.com:6379/0")
    path.write_text(text)
    path.chmod(0o640)
    return path


def test_the_report_fits_80_columns_and_shows_no_password(
    run: Run, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = config.read_text()
    assert run(config, "--dags", CORPUS / "dags_queue", "--template", CORPUS / "templates" / "git_sync_2.10.yaml") == 0
    shown = capsys.readouterr().out
    for words in (
        "CeleryKubernetesExecutor -> hybrid_executor.HybridExecutor",
        "-executor = CeleryKubernetesExecutor\n+executor = hybrid_executor.HybridExecutor",
        "Has to change",
        "image of base is apache/airflow:2.10.5, which is Airflow 2.10 by its tag",
        "Behaves differently",
        "Needs no change",
        "Where tasks run",
        "airflow hybrid worker --queues",
        "Nothing was changed",
    ):
        assert words in shown
    assert "s3cret" not in shown
    without_diff = [line for line in shown.splitlines() if not line.startswith((" ", "+", "-", "@"))]
    assert max(map(len, without_diff)) <= 80
    assert config.read_text() == before


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_data_is_complete_and_shows_no_password(
    run: Run, config: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(config, "-o", form) == 0
    shown = capsys.readouterr().out
    found = json.loads(shown) if form == "json" else yaml.safe_load(shown)
    assert found["new_executor"] == "hybrid_executor.HybridExecutor"
    assert found["needs_work"] is True
    assert found["is_blocked"] is False
    assert {finding["kind"] for finding in found["findings"]} >= {"change", "check", "behaviour", "kept"}
    assert {move["new_pool"] for move in found["queues"]} == {"celery", "kubernetes"}
    assert "s3cret" not in shown


def test_plain_columns_have_one_finding_per_line(run: Run, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, "-o", "plain") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["kind", "subject"]
    assert all(line.split()[0] in ("blocked", "change", "check", "behaviour", "gone", "kept") for line in lines[1:])


def test_check_tells_ci_whether_something_has_to_change(run: Run, config: Path, tmp_path: Path) -> None:
    assert run(config, "--check") == 1
    done = tmp_path / "done.cfg"
    done.write_text(
        "[core]\nexecutor = hybrid_executor.HybridExecutor\n[celery]\nbroker_url = redis://redis/0\n"
        "[api_auth]\njwt_secret = " + "x" * 64 + "\n[hybrid_executor]\nroutes = *=celery\n"
    )
    assert run(done, "--check") == 0


def test_write_keeps_a_backup_permissions_and_comments(
    run: Run, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = config.read_text()
    assert run(config, "--write") == 0
    assert str(config) in capsys.readouterr().out.replace("\n", "")
    backup = config.with_name("airflow.cfg.before-migration")
    assert backup.read_text() == before
    assert stat.S_IMODE(config.stat().st_mode) == stat.S_IMODE(backup.stat().st_mode) == 0o640
    changed = [
        (old, new) for old, new in zip(before.splitlines(), config.read_text().splitlines(), strict=True) if old != new
    ]
    assert changed == [("executor = CeleryKubernetesExecutor", "executor = hybrid_executor.HybridExecutor")]
    settings = read_settings(DictConfig(ConfigText("", config.read_text()).values))
    assert str(settings.routes) == "kubernetes=kubernetes, *=celery"
    # A second time, there is nothing to write, and the backup stays the one of the old file.
    assert run(config, "--write") == 0
    assert backup.read_text() == before
    assert len(list(config.parent.iterdir())) == 2


def test_a_second_backup_does_not_replace_the_first(run: Run, config: Path) -> None:
    config.with_name("airflow.cfg.before-migration").write_text("the first")
    assert run(config, "--write") == 0
    assert config.with_name("airflow.cfg.before-migration").read_text() == "the first"
    assert "CeleryKubernetesExecutor" in config.with_name("airflow.cfg.before-migration-2").read_text()


def test_a_file_behind_a_link_is_changed_and_the_link_stays(run: Run, config: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.cfg"
    link.symlink_to(config)
    assert run(link, "--write") == 0
    assert link.is_symlink()
    assert "executor = hybrid_executor.HybridExecutor" in config.read_text()


def test_nothing_is_written_while_the_redis_is_not_known(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "airflow.cfg"
    path.write_text("[core]\nexecutor = KubernetesExecutor\n")
    assert run(path, "--write") == 2
    assert "--redis-url" in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == ["airflow.cfg"]
    assert run(path, "--write", "--redis-url", "redis://:pw@redis.example.com:6379/0") == 0
    assert "redis_url = redis://:pw@redis.example.com:6379/0" in path.read_text()
    assert "pw@" not in capsys.readouterr().out


def test_a_file_that_cannot_be_written_is_one_clear_line_and_stays(
    run: Run, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The name of its backup would be too long for the file system.
    path = config.rename(config.with_name("a" * 250))
    before = path.read_text()
    assert run(path, "--write") == 2
    told = capsys.readouterr().err
    assert "cannot be written" in told
    assert "Nothing was written" in told
    assert path.read_text() == before
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_an_environment_file_gets_its_lines_changed(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "docker-compose.yaml"
    path.write_text((CORPUS / "compose" / "docker-compose-2.10.yaml").read_text())
    api = "http://airflow-apiserver:8080/execution/"
    assert run("--env-file", path, "--write", "--api-url", api) == 0
    service = yaml.safe_load(path.read_text())["services"]["airflow-worker"]["environment"]
    assert service["AIRFLOW__CORE__EXECUTOR"] == "hybrid_executor.HybridExecutor"
    assert service["AIRFLOW__HYBRID_EXECUTOR__ROUTES"] == "*=celery"
    assert service["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == api
    assert "airflow:airflow@" not in capsys.readouterr().out


def test_without_names_the_environment_of_this_process_counts(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor,KubernetesExecutor")
    monkeypatch.setenv("AIRFLOW__CELERY__BROKER_URL", "redis://redis.example.com:6379/0")
    assert run("-o", "json") == 0
    variables = json.loads(capsys.readouterr().out)["variables"]
    assert variables == {
        "AIRFLOW__CORE__EXECUTOR": "hybrid_executor.HybridExecutor",
        "AIRFLOW__HYBRID_EXECUTOR__ROUTES": "kubernetes=kubernetes,*=celery",
    }


MISTAKES = {
    "no file": (["/nowhere/airflow.cfg"], "cannot be read"),
    "no Dags": (["{config}", "--dags", "/nowhere"], "is not a folder"),
    "no executor": (["--env-file", "{empty}"], "--executor"),
    "broken file": (["{broken}"], "cannot be read"),
    "no text": (["{binary}"], "UTF-8"),
    "an executor that Airflow refuses": (["{empty}", "--executor", "a:b:c"], "alias:import.path.of.Class"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_that_says_what_to_write(
    name: str, run: Run, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {kind: tmp_path / kind for kind in ("empty", "broken", "binary")}
    files["empty"].write_text("")
    files["broken"].write_text("no section\n")
    files["binary"].write_bytes(b"\xff\xfe\x00")
    arguments, words = MISTAKES[name]
    assert run(*(argument.format(config=config, **files) for argument in arguments)) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.startswith("airflow hybrid: ")
    assert told.count("\n") == 1


def test_a_reason_that_many_lines_share_is_printed_once(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dags = tmp_path / "dags"
    dags.mkdir()
    lines = [f"BashOperator(task_id='t{number}', executor='KubernetesExecutor')" for number in range(50)]
    (dags / "dag.py").write_text("\n".join(lines))
    assert run(CORPUS / "multi-3.1.cfg", "--dags", dags) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.count("-> queue='kubernetes' instead of executor='KubernetesExecutor'") == 50
    assert shown.count("which breaks the import of the Dag") == 1


def test_the_old_executor_can_be_named(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "values.yaml"
    path.write_text(
        "executor: CeleryKubernetesExecutor\nenv:\n  - name: AIRFLOW__CELERY__BROKER_URL\n    value: redis://r/0\n"
    )
    assert run("--env-file", path, "--executor", "CeleryKubernetesExecutor", "-o", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["new_executor"] == "hybrid_executor.HybridExecutor"
    assert "+  - name: AIRFLOW__CORE__EXECUTOR\n+    value: hybrid_executor.HybridExecutor" in found["diff"]
