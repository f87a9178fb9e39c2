"""The options of ``[celery]``, as they stand in an existing deployment, each with its own default.

Nothing here depends on which provider declared the section. Options whose work is done otherwise now are listed too,
in :data:`WITHOUT_EFFECT`, with the words that explain them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybrid_executor.config.options import Option

SECTION = "celery"
TRANSPORT_SECTION = "celery_broker_transport_options"
UPSTREAM_CONFIG = "airflow.providers.celery.executors.default_celery.DEFAULT_CELERY_CONFIG"


def _option(name: str, type_: Any, default: str, description: str, **rest: Any) -> Option:
    return Option(section=SECTION, name=name, type=type_, default=default, description=description, **rest)


CELERY_OPTIONS: tuple[Option, ...] = (
    _option("celery_app_name", "str", "hybrid_workers", "Name of the Celery application, as monitors show it."),
    _option(
        "broker_url",
        "str",
        "",
        "Celery broker. Unset, or redis://redis:6379/0 as Airflow generates it: the Redis of [hybrid_executor] "
        "redis_url, where that is set. Where both are the same Redis, a record and its message are written in one "
        "step.",
        sensitive=True,
    ),
    _option(
        "broker_connection_retry_on_startup",
        "bool",
        "True",
        "A worker that finds no broker when it starts goes on trying instead of ending.",
    ),
    _option(
        "worker_concurrency",
        "int",
        "16",
        "Task processes of a worker: how many workloads it runs at the same time.",
        minimum=1,
    ),
    _option(
        "worker_autoscale",
        "str",
        "",
        "Most and fewest task processes, as 'max,min'. Takes the place of worker_concurrency.",
    ),
    _option(
        "worker_prefetch_multiplier",
        "int",
        "1",
        "Messages a worker holds per task process. Over 1, some wait behind a long task while others idle. 0: any.",
        minimum=0,
    ),
    _option(
        "worker_enable_remote_control",
        "bool",
        "True",
        "Whether workers obey Celery's control commands. Flower needs it; some brokers cannot do it.",
    ),
    _option(
        "pool",
        "str",
        "prefork",
        "Celery's pool of task processes: prefork, or the import path of a class made from it. Workers refuse solo, "
        "threads, eventlet and gevent: Airflow supervises each workload in a process of its own.",
    ),
    _option("task_acks_late", "bool", "True", "Acknowledge a message when its workload has ended, not when it starts."),
    _option(
        "operation_timeout",
        "float",
        "1.0",
        "Longest time that the scheduler spends on sending one batch to a broker which is not the store's Redis.",
        unit="seconds",
        minimum=0.1,
    ),
    _option(
        "task_publish_max_retries",
        "int",
        "3",
        "Kept for existing configurations, without effect: a message that could not be sent waits and goes out when "
        "the broker is back, however long that takes, and no task fails for it.",
        minimum=-1,
    ),
    _option("ssl_active", "bool", "False", "Connect to the broker with TLS."),
    _option("ssl_mutual_tls", "bool", "True", "With TLS: show our certificate too; needs ssl_key and ssl_cert."),
    _option("ssl_key", "str", "", "File of the client's private key."),
    _option("ssl_cert", "str", "", "File of the client's certificate."),
    _option("ssl_cacert", "str", "", "File of the certificate authority that the broker's certificate comes from."),
    _option(
        "extra_celery_config",
        "json",
        "{}",
        "JSON object of further Celery settings for workers and senders.",
    ),
    _option(
        "celery_config_options",
        "str",
        "",
        "Import path of a dict of Celery settings that goes over all others.",
    ),
    _option(
        "mp_start_method",
        "str",
        "",
        "How the worker starts its helper processes (log server, clean-up); from Airflow 3.3 on. "
        "Unset: [core] mp_start_method.",
        allowed=("fork", "spawn", "forkserver"),
    ),
    _option(
        "mp_forkserver_preload",
        "list",
        "",
        "With forkserver: modules that it imports before it forks.",
    ),
    _option("json_logs", "str", "", "Worker logs as JSON. Unset: [logging] json_logs."),
    _option("task_logs_to_stdout", "str", "", "Task logs to the worker's output too. Unset: [logging] of that name."),
    _option("worker_umask", "str", "", "Octal umask of a worker that runs as a daemon. Unset: Airflow's."),
    _option("flower_host", "str", "0.0.0.0", "Address that Flower listens on."),
    _option("flower_port", "int", "5555", "Port that Flower listens on.", minimum=1),
    _option("flower_url_prefix", "str", "", "Path that Flower is served under."),
    _option("flower_basic_auth", "str", "", "user:password pairs that Flower asks for, by comma.", sensitive=True),
    _option("task_track_started", "bool", "True", "Kept for existing configurations, without effect."),
    _option("result_backend", "str", "", "Kept for existing configurations, without effect.", sensitive=True),
    _option(
        "result_backend_sqlalchemy_engine_options",
        "str",
        "",
        "Kept for existing configurations, without effect.",
        sensitive=True,
    ),
    _option("sync_parallelism", "int", "0", "Kept for existing configurations, without effect."),
)

WITHOUT_EFFECT: Mapping[str, str] = {
    "result_backend": "that a workload started or ended travels in the store, and Celery keeps no results",
    "result_backend_sqlalchemy_engine_options": "there is no result backend",
    "sync_parallelism": "a batch is sent in one round trip and nothing is polled, so no processes are needed",
    "task_publish_max_retries": "what could not be sent waits and goes out when the broker is back, however long that "
    "takes, and no task fails for it",
    "task_track_started": "every start is recorded in the store",
}

VISIBILITY_TIMEOUT = Option(
    section=TRANSPORT_SECTION,
    name="visibility_timeout",
    type="int",
    default="86400",
    minimum=1,
    unit="seconds",
    description="After this time without an acknowledgement Redis and SQS deliver a message again. A second delivery "
    "of work that runs or ended is ignored.",
)

CORE_DEFAULT_QUEUE = Option(
    section="operators",
    name="default_queue",
    type="str",
    default="default",
    description="Queue of tasks that name none, and of workers that are told none.",
)
