"""The whole answer of ``airflow hybrid migrate``. Reads Dag files and pod templates, and changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hybrid_executor.config.kubernetes import read_kubernetes_settings
from hybrid_executor.errors import ConfigError
from hybrid_executor.migration.behaviour import behaviours
from hybrid_executor.migration.configuration import Configuration, changed_variables, diff
from hybrid_executor.migration.dag_advice import advise, effective_uses
from hybrid_executor.migration.dag_reading import DagFile, read_dags
from hybrid_executor.migration.execution_api import check_token_secret, has_address, set_address
from hybrid_executor.migration.executors import Executors, parse_executors
from hybrid_executor.migration.finding import NEEDS_WORK, Finding
from hybrid_executor.migration.options import check_celery_config, check_settings, explain_options, set_executor
from hybrid_executor.migration.plan import Plan, make_plan
from hybrid_executor.migration.queues import QueueMove, check_moves, follow_queues, name_workers
from hybrid_executor.migration.renames import check_login, correct_values, further_options, move_options
from hybrid_executor.migration.templates import check_image, check_template


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to look at, and what cannot be seen from here.

    :ivar dags: folder of the Dags; ``None`` for ``[core] dags_folder``.
    :ivar templates: further pod templates.
    :ivar executor: the old executor; "" for ``[core] executor``.
    :ivar redis_url, api_url: addresses to write; ``None`` if they are not known.
    :ivar airflow_version: the release that the schedulers will run.
    :ivar airflow_changes: section and option of each row of Airflow's own table of changes.
    """

    dags: Path | None = None
    templates: Sequence[str] = ()
    executor: str = ""
    redis_url: str | None = field(default=None, repr=False)
    api_url: str | None = None
    airflow_version: str
    airflow_changes: Collection[tuple[str, str]] = ()


@dataclass(frozen=True, kw_only=True)
class Report:
    """What has to change, what behaves differently and what stays.

    :ivar executor, new_executor: the old and the new value of ``[core] executor``; the new one is "" if there is none.
    :ivar diff: changes of the files, with values of secrets hidden.
    :ivar variables: environment variables to set; ``None`` for those to unset.
    :ivar queues: where the tasks of each queue run, before and after.
    :ivar files: how many Dag files were read.
    :ivar configuration: the proposed configuration. It holds secrets and is never printed.
    """

    executor: str
    new_executor: str = ""
    diff: str = ""
    variables: dict[str, str | None] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    queues: tuple[QueueMove, ...] = ()
    files: int = 0
    configuration: Configuration = field(default_factory=Configuration, repr=False)

    @property
    def needs_work(self) -> bool:
        """Something has to change, or blocks."""
        return any(finding.kind in NEEDS_WORK for finding in self.findings)

    @property
    def is_blocked(self) -> bool:
        """The proposed configuration cannot work before a person has decided something."""
        return any(finding.kind == "blocked" for finding in self.findings)


def migrate(old: Configuration, request: Request) -> Report:
    """Return what has to change so that this deployment runs on our executor.

    A deployment that has it already is checked all the same: its Dags and pod templates, and options that moved.

    :raises ConfigError: file, executors or the folder of Dags cannot be read.
    """
    if old.file is not None:
        old.file.check()
    moved, renamed = move_options(old)
    executors = _executors_of(moved, request.executor)
    text = " ".join((request.executor or old.get("core", "executor") or "").split())
    files = read_dags(_dags_folder(old, request)) if _has_dags(old, request) else []
    uses = effective_uses(files)
    ours = next((entry for entry in executors.entries if entry.pool == "hybrid"), None)
    plan = make_plan(executors, {one.asked for one in uses}) if ours is None else Plan(text, ours.path, "")
    if plan is None:
        return Report(executor=text, findings=(_unsuited(text),), files=len(files), configuration=old)
    new, corrections = correct_values(moved)
    changes = [_has_ours(text)]
    if ours is None:
        new, changes = set_executor(new, plan, before=text, redis_url=request.redis_url)
    new, address = set_address(new, request.api_url)
    findings = [*changes, *renamed, *corrections, *address, *check_token_secret(old)]
    findings += [*_teams(executors), *_beside(plan.kept)]
    settings, wrong = check_settings(new)
    pools = frozenset(settings.routes.pools if settings else (entry.pool for entry in plan.replaced))
    moves = follow_queues(executors, plan, settings.routes, uses) if settings else []
    findings += [*wrong, *check_moves(moves), *name_workers(moves, executors)]
    findings += [] if files else [_without_dags(old, request)]
    findings += advise(files, uses, old=executors, plan=plan)
    findings += check_celery_config(new) if "celery" in pools else []
    findings += _check_templates(new, request, files) if "kubernetes" in pools else []
    findings += [*check_login(new), *further_options(new, request.airflow_changes)]
    if ours is None:
        findings += behaviours(pools, new, has_named=len(executors.entries) > 1, is_alone=not plan.kept)
    findings += explain_options(new, pools=pools)
    return Report(
        executor=text,
        new_executor=plan.executor,
        diff=diff(old, new),
        variables=changed_variables(old, new),
        findings=tuple(findings),
        queues=tuple(moves),
        files=len(files),
        configuration=new,
    )


def _executors_of(configuration: Configuration, named: str) -> Executors:
    text = named or configuration.get("core", "executor")
    if not named and configuration.is_hidden("core", "executor"):
        raise ConfigError("[core] executor is given by a command or a variable: name it with --executor.")
    if not text:
        raise ConfigError(
            "[core] executor is not set here: name the right airflow.cfg or --env-file, or name the executor with "
            "--executor."
        )
    sections = ("local_kubernetes_executor" if "LocalKubernetes" in text else "celery_kubernetes_executor",)
    queue = configuration.get(sections[0], "kubernetes_queue")
    return parse_executors(
        text,
        kubernetes_queue=queue or "kubernetes",
        default_queue=configuration.get("operators", "default_queue") or "default",
    )


def _has_ours(text: str) -> Finding:
    return Finding(
        kind="kept",
        subject="[core] executor",
        what=f"{text}: this deployment has this executor already",
        documented="docs/migration.md",
    )


def _unsuited(text: str) -> Finding:
    return Finding(
        kind="blocked",
        subject="[core] executor",
        what=f"{text}: nothing to migrate",
        instead="this command migrates CeleryKubernetesExecutor, LocalKubernetesExecutor, CeleryExecutor, "
        "KubernetesExecutor, and lists with one of these; for a new deployment see README.md",
        why="this executor runs tasks on Celery workers, in pods, or in local processes beside pods",
        documented="docs/migration.md",
    )


def _dags_folder(old: Configuration, request: Request) -> Path:
    """Return the folder that is named, or the folder dags beside the file, as in Airflow's home."""
    named = old.get("core", "dags_folder") or "dags"
    file = old.file or old.environment_file
    return request.dags or (Path(file.name).parent if file else Path()) / named


def _has_dags(old: Configuration, request: Request) -> bool:
    folder = _dags_folder(old, request)
    if request.dags is not None and not folder.is_dir():
        raise ConfigError(f"--dags {folder} is not a folder: name the folder of the Dag files.")
    return folder.is_dir()


def _without_dags(old: Configuration, request: Request) -> Finding:
    return Finding(
        kind="check",
        subject="Dags",
        what=f"there are no Dag files in {_dags_folder(old, request)}, so no line of a Dag was checked",
        instead="name their folder with --dags",
        why="executor= in a Dag breaks its import when that executor is not configured any more",
        documented="docs/migration.md#executor-in-dag-files",
    )


def _teams(executors: Executors) -> list[Finding]:
    return [
        Finding(
            kind="check",
            subject="[core] executor",
            what=f"the entry of a team, {team}, stays as it is",
            instead="keep the workers and pods of this team as they are, or write "
            f"{team.partition('=')[0].strip()}=hybrid_executor.HybridExecutor",
            why="each team moves on its own, with options and workers of its own",
            documented="docs/teams.md#set-up",
        )
        for team in executors.teams
    ]


def _beside(kept: Sequence[object]) -> list[Finding]:
    return [
        Finding(
            kind="kept",
            subject="[core] executor",
            what=f"{getattr(entry, 'text', entry)} stays beside this executor, with the tasks that name it",
            documented="docs/migration.md#several-executors",
        )
        for entry in kept
    ]


def _check_templates(new: Configuration, request: Request, files: Sequence[DagFile]) -> list[Finding]:
    option = "[kubernetes_executor] pod_template_file"
    wanted = dict.fromkeys(request.templates, "--template")
    path = new.get("kubernetes_executor", "pod_template_file")
    if path:
        wanted.setdefault(path, option)
    for file in files:
        for line, template in file.templates:
            wanted.setdefault(template, f"{file.path}:{line}")
    try:
        image = read_kubernetes_settings(new.source()).image
    except ConfigError:
        image = ""  # check_settings has said why
    if not wanted:
        return [_without_template(image), *check_image(image, request.airflow_version)]
    findings: list[Finding] = []
    for path, place in wanted.items():
        findings += check_template(
            path,
            option=place,
            airflow_version=request.airflow_version,
            dags_folder=new.get("core", "dags_folder") or "/opt/airflow/dags",
            image=image,
            has_address=has_address(new),
        )
    return findings


def _without_template(image: str) -> Finding:
    words = f"the built-in one with {image}" if image else "none is configured, and no image"
    return Finding(
        kind="check" if image else "change",
        subject="pod template",
        what=words,
        instead="write a template with the address of the API server (conf/pod_template.yaml is an example) and set "
        "[kubernetes_executor] pod_template_file",
        why="pods of Airflow 3 must know the API server",
        documented="docs/migration.md#pod-templates",
    )
