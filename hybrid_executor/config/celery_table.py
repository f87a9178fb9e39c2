"""The options of ``[celery]`` that existing deployments use, each with its own default.

Nothing here depends on which provider declares the section. :data:`WITHOUT_EFFECT` lists the options that do nothing
here, with the reason.
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
        "Celery broker. If unset, or redis://redis:6379/0 (which Airflow writes into a new airflow.cfg), "
        "the Redis of [hybrid_executor] redis_url is used, if that is set. If both are the same Redis, a "
        "record and its message are written in one step.",
        sensitive=True,
    ),
    _option(
        "broker_connection_retry_on_startup",
        "bool",
        "True",
        "A worker that cannot reach the broker when it starts retries instead of exiting.",
    ),
    _option(
        "worker_concurrency",
        "int",
        "16",
        "Number of task processes of a worker: how many workloads it runs at the same time.",
        minimum=1,
    ),
    _option(
        "worker_autoscale",
        "str",
        "",
        "Maximum and minimum number of task processes, as 'max,min'. Replaces worker_concurrency.",
    ),
    _option(
        "worker_prefetch_multiplier",
        "int",
        "1",
        "How many messages a worker takes per task process. With more than 1, messages may wait behind a "
        "long task while other workers are idle. 0: no limit.",
        minimum=0,
    ),
    _option(
        "worker_enable_remote_control",
        "bool",
        "True",
        "Whether workers obey Celery's control commands. Flower needs it. Some brokers do not support it.",
    ),
    _option(
        "pool",
        "str",
        "prefork",
        "Celery's pool of task processes: prefork, or the import path of a subclass of it. Workers refuse "
        "solo, threads, eventlet and gevent, because Airflow supervises each workload in its own process.",
    ),
    _option("task_acks_late", "bool", "True", "Acknowledge a message when its workload has ended, not when it starts."),
    _option(
        "operation_timeout",
        "float",
        "1.0",
        "Maximum time that the scheduler spends on sending one batch to a broker that is not the store's Redis.",
        unit="seconds",
        minimum=0.1,
    ),
    _option(
        "task_publish_max_retries",
        "int",
        "3",
        "Accepted for existing configurations, but has no effect: a message that cannot be sent is sent "
        "when the broker is available again, however long that takes. No task fails because of it.",
        minimum=-1,
    ),
    _option("ssl_active", "bool", "False", "Connect to the broker with TLS."),
    _option("ssl_mutual_tls", "bool", "True", "With TLS: send a client certificate too. Needs ssl_key and ssl_cert."),
    _option("ssl_key", "str", "", "File with the client's private key."),
    _option("ssl_cert", "str", "", "File with the client's certificate."),
    _option("ssl_cacert", "str", "", "File with the certificate authority (CA) that signed the broker's certificate."),
    _option(
        "extra_celery_config",
        "json",
        "{}",
        "JSON object with more Celery settings for workers and senders.",
    ),
    _option(
        "celery_config_options",
        "str",
        "",
        "Import path of a dict with Celery settings. They win over all others.",
    ),
    _option(
        "mp_start_method",
        "str",
        "",
        "How the worker starts its helper processes (log server, clean-up). Airflow 3.3 and newer. Unset: "
        "[core] mp_start_method.",
        allowed=("fork", "spawn", "forkserver"),
    ),
    _option(
        "mp_forkserver_preload",
        "list",
        "",
        "With mp_start_method = forkserver: modules that the fork server imports before it forks.",
    ),
    _option("json_logs", "str", "", "Write worker logs as JSON. Unset: [logging] json_logs."),
    _option(
        "task_logs_to_stdout",
        "str",
        "",
        "Write task logs to the worker's output too. Unset: the option of the same name in [logging].",
    ),
    _option("worker_umask", "str", "", "Octal umask of a worker that runs in the background. Unset: Airflow's."),
    _option("flower_host", "str", "0.0.0.0", "Address that Flower listens on."),
    _option("flower_port", "int", "5555", "Port that Flower listens on.", minimum=1),
    _option("flower_url_prefix", "str", "", "URL path under which Flower is served."),
    _option(
        "flower_basic_auth",
        "str",
        "",
        "user:password pairs that may log in to Flower, separated by commas.",
        sensitive=True,
    ),
    _option("task_track_started", "bool", "True", "Accepted for existing configurations, but has no effect."),
    _option("result_backend", "str", "", "Accepted for existing configurations, but has no effect.", sensitive=True),
    _option(
        "result_backend_sqlalchemy_engine_options",
        "str",
        "",
        "Accepted for existing configurations, but has no effect.",
        sensitive=True,
    ),
    _option("sync_parallelism", "int", "0", "Accepted for existing configurations, but has no effect."),
)

WITHOUT_EFFECT: Mapping[str, str] = {
    "result_backend": "the store holds the start and the end of each workload, and Celery keeps no results",
    "result_backend_sqlalchemy_engine_options": "there is no result backend",
    "sync_parallelism": "a batch is sent in one round trip and nothing is polled, so no extra processes are needed",
    "task_publish_max_retries": "a message that cannot be sent is sent when the broker is available again, however "
    "long that takes, and no task fails because of it",
    "task_track_started": "every start is recorded in the store",
}

VISIBILITY_TIMEOUT = Option(
    section=TRANSPORT_SECTION,
    name="visibility_timeout",
    type="int",
    default="86400",
    minimum=1,
    unit="seconds",
    description="Redis and SQS deliver a message again if it is not acknowledged within this time. A second delivery "
    "of work that runs or has ended is ignored.",
)

CORE_DEFAULT_QUEUE = Option(
    section="operators",
    name="default_queue",
    type="str",
    default="default",
    description="Queue of tasks that name no queue, and of workers that are started without queues.",
)
