"""The Celery application of the workers: ``celery -A hybrid_workers.celery_app worker``.

Importing this module reads Airflow's configuration, as Celery needs it, and connects nowhere.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from celery import Celery  # type: ignore[import-untyped]

from hybrid_workers.deployment import Deployment, ProcessStore, read_deployment
from hybrid_workers.lifecycle import WorkerLife
from hybrid_workers.queue_order import with_fair_order
from hybrid_workers.reports import Reports
from hybrid_workers.run import Patience, Runner, WorkloadRuns
from hybrid_workers.shown import ShownConnection
from hybrid_workers.task import register_task
from hybrid_workers.told_ends import TaskHints
from hybrid_workers.witness import Witness
from hybrid_workers.workload import run_with_airflow


def create_worker_app(deployment: Deployment, *, run: Runner | None = None, patience: Patience | None = None) -> Celery:
    """Return the application of a deployment's workers. Nothing is connected yet.

    :param run: what runs a workload; Airflow's own supervisor by default.
    :param patience: how long to wait for an unavailable Redis.
    """
    app = Celery(deployment.celery.app_name)
    app.config_from_object({**_celery_config(deployment), "worker_consumer": "hybrid_workers.consumer:CarefulConsumer"})
    app.amqp.Connection = ShownConnection
    store = ProcessStore(deployment)
    reports, witness, hints = Reports(), Witness(), TaskHints(store)
    runs = WorkloadRuns(
        store,
        instance=deployment.instance,
        run=run or partial(run_with_airflow, logs_to_stdout=deployment.task_logs_to_stdout),
        patience=patience,
        on_note=witness.note,
        on_start=hints.begin,
    )
    register_task(app, runs=runs, reports=reports)
    app.worker_life = WorkerLife(app, store=store, reports=reports, deployment=deployment, witness=witness, hints=hints)
    app.worker_life.connect()
    return app


def _celery_config(deployment: Deployment) -> dict[str, Any]:
    config = dict(deployment.celery_config)
    if deployment.celery.broker.is_redis:
        config["broker_transport_options"] = with_fair_order(config["broker_transport_options"], deployment.shares)
    return config


def __getattr__(name: str) -> Any:
    """Make ``app`` when it is asked for, once, from Airflow's configuration."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from hybrid_executor.config import process_config
    from hybrid_executor.config.teams import process_team, words_of

    with words_of(process_team()):
        made = create_worker_app(read_deployment(process_config()))
    globals()["app"] = made
    return made
