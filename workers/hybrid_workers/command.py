"""The body of ``airflow hybrid worker``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from dataclasses import dataclass
from typing import Any

from hybrid_executor.config import ConfigSource, Option, process_config
from hybrid_executor.config.celery import AUTOSCALE_FORM, is_autoscale
from hybrid_executor.config.teams import in_words_of, process_team
from hybrid_executor.errors import ConfigError, HybridError
from hybrid_workers.background import check_pid_file, read_background, run_here_or_as_daemon
from hybrid_workers.checks import check_broker, check_name, check_permissions, check_pool, check_store
from hybrid_workers.deployment import Deployment, ProcessStore, read_deployment
from hybrid_workers.preload import preload

log = logging.getLogger(__name__)

_START_PATIENCE_SECONDS = 30.0
_LEVELS = ("celery_logging_level", "logging_level")
_JSON_LOGS = Option(section="logging", name="json_logs", type="bool", default="False", description="Logs as JSON.")
_SPLIT = Option(
    section="logging",
    name="celery_stdout_stderr_separation",
    type="bool",
    default="False",
    description="Errors to standard error, the rest to standard output.",
)
_CLEANUP = Option(
    section="dag_processor",
    name="stale_bundle_cleanup_interval",
    type="int",
    default="1800",
    minimum=0,
    unit="seconds",
    description="How often Dag bundles that nobody uses are removed.",
)


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """The command line, with what is not on it filled in."""

    queues: str | None = None
    concurrency: int | None = None
    celery_hostname: str | None = None
    autoscale: str | None = None
    pid: str | None = None
    daemon: bool = False
    umask: str | None = None
    stdout: str | None = None
    stderr: str | None = None
    log_file: str | None = None
    skip_serve_logs: bool = False
    without_mingle: bool = False
    without_gossip: bool = False
    verbose: bool = False


def run_worker(args: argparse.Namespace) -> int:
    """Check, then run a worker until it is told to leave; return its exit code.

    What is wrong with configuration or surroundings is one line on standard error, and exit code 1.
    """
    known = {name: value for name, value in vars(args).items() if name in Arguments.__dataclass_fields__}
    arguments = Arguments(**{name: value for name, value in known.items() if value is not None})
    try:
        return _run(arguments, process_config())
    except HybridError as error:
        print(f"airflow hybrid worker: {in_words_of(process_team(), str(error))}", file=sys.stderr)
        return 1


def _run(arguments: Arguments, conf: ConfigSource) -> int:
    from hybrid_workers.output import give_files_the_same_format, set_up_output
    from hybrid_workers.sidecars import sidecars

    background = read_background(
        pid=arguments.pid,
        stdout=arguments.stdout,
        stderr=arguments.stderr,
        log=arguments.log_file,
        umask=arguments.umask or str(conf.get("celery", "worker_umask", fallback="") or ""),
    )
    if arguments.daemon:
        check_pid_file(background.pid_file)
    deployment = read_deployment(conf)
    own_choice = deployment.celery.json_logs
    json_logs = _JSON_LOGS.read(conf) if own_choice is None else own_choice
    set_up_output(json_logs=json_logs, splits_errors=_SPLIT.read(conf), level=_level(arguments, conf))
    _set_start_method()
    options = celery_options(arguments, deployment, conf)
    from hybrid_workers import celery_app

    app = celery_app.app
    check_pool(app.conf.worker_pool)
    _check(app, deployment, options)
    preload(deployment.preload)
    exit_codes: list[int] = []

    def work() -> None:
        if json_logs:
            give_files_the_same_format()
        with sidecars(serves_logs=not arguments.skip_serve_logs, bundle_cleanup_seconds=_CLEANUP.read(conf)):
            # Celery's banner is no JSON.
            exit_codes.append(int(app.worker_main(["--quiet", *options] if json_logs else options) or 0))

    run_here_or_as_daemon(background, work, as_daemon=arguments.daemon)
    return exit_codes[0] if exit_codes else os.EX_OK


def celery_options(arguments: Arguments, deployment: Deployment, conf: ConfigSource) -> list[str]:
    """Return the arguments of ``celery worker``.

    :raises ConfigError: no queue is named, or a number is none.
    """
    values = deployment.celery.values
    queues = ",".join(
        part.strip() for part in (arguments.queues or deployment.default_queue).split(",") if part.strip()
    )
    if not queues:
        raise ConfigError("No queue to work for: name some with --queues, or set [operators] default_queue.")
    options = ["worker", "-O", "fair", "--queues", queues, "--hostname", worker_name(arguments.celery_hostname)]
    if arguments.concurrency is not None and arguments.concurrency < 1:
        raise ConfigError(f"--concurrency {arguments.concurrency} is not valid: write a number of at least 1.")
    options += ["--concurrency", str(arguments.concurrency or values["worker_concurrency"])]
    options += ["--loglevel", _level(arguments, conf)]
    if arguments.autoscale and not is_autoscale(arguments.autoscale):
        raise ConfigError(f"--autoscale {arguments.autoscale} is not valid: write {AUTOSCALE_FORM}.")
    if autoscale := arguments.autoscale or values["worker_autoscale"]:
        options += ["--autoscale", autoscale]
    options += ["--without-mingle"] if arguments.without_mingle else []
    options += ["--without-gossip"] if arguments.without_gossip else []
    return options


def worker_name(wanted: str | None) -> str:
    """Return the worker's full name: the given one, with this host's name where it has none."""
    from celery.utils.nodenames import default_nodename, host_format  # type: ignore[import-untyped]

    return str(host_format(default_nodename(wanted)))


def _check(app: Any, deployment: Deployment, options: list[str]) -> None:
    retries = deployment.celery.values["broker_connection_retry_on_startup"]
    store = ProcessStore(deployment)()
    try:
        check_store(store, patience_seconds=_START_PATIENCE_SECONDS if retries else 0)
        if not deployment.celery.broker.is_at(deployment.redis.url, deployment.redis.options):
            check_broker(app, deployment.celery.broker)
        name, queues = (options[options.index(flag) + 1] for flag in ("--hostname", "--queues"))
        check_permissions(app, store, deployment.celery.broker, queues=queues.split(","), name=name)
        check_name(store, name)
    finally:
        store.close()
        _forget_connections()


def _forget_connections() -> None:
    """Drop kombu's pooled connections: task processes must not inherit any."""
    from kombu import pools

    reset: Any = pools.reset
    reset()


def _set_start_method() -> None:
    """Start helper processes as configured; Airflow knows how from 3.3 on."""
    try:
        from airflow.utils.process_utils import set_component_mp_start_method
    except ImportError:
        return
    set_component_mp_start_method("celery")


def _level(arguments: Arguments, conf: ConfigSource) -> str:
    if arguments.verbose:
        return "DEBUG"
    level = next(filter(None, (str(conf.get("logging", name, fallback="") or "") for name in _LEVELS)), "INFO").upper()
    if not isinstance(logging.getLevelName(level), int):
        raise ConfigError(f"[logging] celery_logging_level = {level} is not valid: write one such as INFO or WARNING.")
    return level
