"""The body of ``airflow hybrid worker``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from dataclasses import dataclass
from typing import Any

from hybrid_executor.config import ConfigSource, Option, airflow_config
from hybrid_executor.errors import ConfigError, HybridError
from hybrid_workers.checks import check_broker, check_name, check_store
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
        return _run(arguments, airflow_config())
    except HybridError as error:
        print(f"airflow hybrid worker: {error}", file=sys.stderr)
        return 1


def _run(arguments: Arguments, conf: ConfigSource) -> int:
    from hybrid_workers.output import set_up_output

    deployment = read_deployment(conf)
    json_logs = deployment.celery.json_logs
    set_up_output(json_logs=_JSON_LOGS.read(conf) if json_logs is None else json_logs, splits_errors=_SPLIT.read(conf))
    _set_start_method()
    options = celery_options(arguments, deployment, conf)
    _patch_for_pool(deployment)
    from hybrid_workers import celery_app

    app = celery_app.app
    _check(app, deployment, options)
    umask = arguments.umask or deployment.celery.values["worker_umask"]
    preload(deployment.preload)
    return _run_in_place_or_as_daemon(arguments, conf, app=app, options=options, umask=umask)


def celery_options(arguments: Arguments, deployment: Deployment, conf: ConfigSource) -> list[str]:
    """Return the arguments of ``celery worker``.

    :raises ConfigError: no queue is named.
    """
    values = deployment.celery.values
    queues = ",".join(
        part.strip() for part in (arguments.queues or deployment.default_queue).split(",") if part.strip()
    )
    if not queues:
        raise ConfigError("No queue to work for: name some with --queues, or set [operators] default_queue.")
    level = next(filter(None, (str(conf.get("logging", name, fallback="") or "") for name in _LEVELS)), "INFO")
    options = ["worker", "-O", "fair", "--queues", queues, "--hostname", worker_name(arguments.celery_hostname)]
    options += ["--concurrency", str(arguments.concurrency or values["worker_concurrency"])]
    options += ["--loglevel", "DEBUG" if arguments.verbose else level.upper()]
    if autoscale := arguments.autoscale or values["worker_autoscale"]:
        options += ["--autoscale", autoscale]
    options += ["--pool", values["pool"]]
    options += ["--without-mingle"] if arguments.without_mingle else []
    options += ["--without-gossip"] if arguments.without_gossip else []
    return options


def worker_name(wanted: str | None) -> str:
    """Return the worker's full name: what is wanted, on this host where it does not say."""
    from celery.utils.nodenames import default_nodename, host_format  # type: ignore[import-untyped]

    return str(host_format(default_nodename(wanted)))


def _check(app: Any, deployment: Deployment, options: list[str]) -> None:
    retries = deployment.celery.values["broker_connection_retry_on_startup"]
    store = ProcessStore(deployment)()
    try:
        check_store(store, patience_seconds=_START_PATIENCE_SECONDS if retries else 0)
        if not deployment.celery.broker.is_at(deployment.redis.url):
            check_broker(app, deployment.celery.broker)
        check_name(store, options[options.index("--hostname") + 1])
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


def _patch_for_pool(deployment: Deployment) -> None:
    """Let green pools replace blocking calls before anything else is imported."""
    from celery import maybe_patch_concurrency  # type: ignore[import-untyped]

    maybe_patch_concurrency(["-P", deployment.celery.values["pool"]])


def _run_in_place_or_as_daemon(
    arguments: Arguments, conf: ConfigSource, *, app: Any, options: list[str], umask: str
) -> int:
    from airflow import settings
    from airflow.cli.commands.daemon_utils import run_command_with_daemon_option
    from airflow.utils.cli import setup_locations

    from hybrid_workers.sidecars import sidecars

    exit_codes: list[int] = []

    def work() -> None:
        with sidecars(serves_logs=not arguments.skip_serve_logs, bundle_cleanup_seconds=_CLEANUP.read(conf)):
            exit_codes.append(int(app.worker_main(options) or 0))

    locate: Any = setup_locations
    pid_file, stdout, stderr, log_file = locate(
        process="worker", pid=arguments.pid, stdout=arguments.stdout, stderr=arguments.stderr, log=arguments.log_file
    )
    run_command_with_daemon_option(
        args=argparse.Namespace(daemon=arguments.daemon, pid=pid_file, stdout=stdout, stderr=stderr, log_file=log_file),
        process_name="worker",
        callback=work,
        should_setup_logging=True,
        umask=umask or settings.DAEMON_UMASK,
        pid_file=pid_file,
    )
    return exit_codes[0] if exit_codes else os.EX_OK
