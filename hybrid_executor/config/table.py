"""The options of ``[hybrid_executor]``: provider info, ``conf/airflow.cfg`` and the docs are made from this table."""

from __future__ import annotations

from hybrid_executor.config.options import Option

SECTION = "hybrid_executor"

ROUTES = Option(
    section=SECTION,
    name="routes",
    type="str",
    default="",
    description="Which queues go where: pattern=pool or pattern=pool:profile, separated by commas, first match wins, "
    "ending with '*'. Pools are celery, kubernetes and local. Unset: '<kubernetes_queue>=kubernetes, *=celery' with "
    "kubernetes_queue from [celery_kubernetes_executor].",
)
PROFILES_FILE = Option(
    section=SECTION,
    name="profiles_file",
    type="str",
    default="",
    description="YAML file of named pod settings (cluster, namespace, pod template, executor_config) for routes.",
)
REDIS_URL = Option(
    section=SECTION,
    name="redis_url",
    type="str",
    default="",
    sensitive=True,
    description="Redis or Valkey that holds the shared state; no Redis Cluster. docs/redis-urls.md has all forms. "
    "Unset: [celery] broker_url, where that is a Redis.",
)
REDIS_OPTIONS = Option(
    section=SECTION,
    name="redis_options",
    type="json",
    default="{}",
    sensitive=True,
    description="Further arguments of the Redis client as a JSON object: TLS files (ssl_ca_certs, ...), master_name "
    "and sentinel_kwargs for sentinel:// URLs, username, password, credential_provider. Where the URL says something "
    "else, the URL wins. Celery gets what says where Redis is and how to log in, where it uses redis_url too.",
)
INSTANCE = Option(
    section=SECTION,
    name="instance",
    type="str",
    default="airflow",
    description="Name of this Airflow deployment in Redis keys and pod labels. Deployments that share a Redis or a "
    "namespace need different ones.",
)
AGENT = Option(
    section=SECTION,
    name="agent",
    type="str",
    default="child",
    allowed=("child", "external", "none"),
    description="Who launches and watches pods: a child process of each scheduler, or agents that you run yourself "
    "(airflow hybrid agent). 'none' starts nothing.",
)
CELERY_PARALLELISM = Option(
    section=SECTION,
    name="celery_parallelism",
    type="int",
    default="0",
    minimum=0,
    unit="tasks",
    description="Most tasks that one scheduler has queued or running on Celery. 0: as many as [core] parallelism.",
)
KUBERNETES_PARALLELISM = Option(
    section=SECTION,
    name="kubernetes_parallelism",
    type="int",
    default="0",
    minimum=0,
    unit="tasks",
    description="Most tasks that one scheduler has queued or running in pods. 0: as many as [core] parallelism.",
)
LOCAL_PARALLELISM = Option(
    section=SECTION,
    name="local_parallelism",
    type="int",
    default="0",
    minimum=0,
    unit="tasks",
    description="Most tasks that run in the scheduler's own local pool. 0: as many as [core] parallelism.",
)
POD_CREATION_RATE = Option(
    section=SECTION,
    name="pod_creation_rate",
    type="float",
    default="100",
    minimum=0.1,
    unit="pods per second",
    description="Pods that all agents together create per second and cluster.",
)
STARTING_PODS = Option(
    section=SECTION,
    name="starting_pods",
    type="int",
    default="0",
    minimum=0,
    unit="pods",
    description="Most pods of one cluster, over all agents, that are between their creation and the start of their "
    "task. More of them only slow each other and Airflow's API server down. 0: adapts to how quickly tasks start; "
    "begins with 4 and doubles for as long as they start within 10 seconds.",
)
LAUNCH_PATIENCE = Option(
    section=SECTION,
    name="launch_patience",
    type="float",
    default="120",
    minimum=0,
    unit="seconds",
    description="How long a pod is tried again while the cluster refuses it for what may be repaired soon: a missing "
    "service account or right to create pods, a registry that is busy or down. A missing namespace is waited for "
    "15 seconds at most. What surely passes (quota, throttling, server errors) is waited for longer.",
)
RECORD_RETENTION = Option(
    section=SECTION,
    name="record_retention",
    type="int",
    default="86400",
    minimum=600,
    unit="seconds",
    description="How long the record of an ended attempt stays in Redis. Not less than a token lives. A second "
    "delivery of a message is known by the record: where this is shorter than [celery_broker_transport_options] "
    "visibility_timeout, records are kept for that time and an hour more.",
)
REPAIR_INTERVAL = Option(
    section=SECTION,
    name="repair_interval",
    type="float",
    default="10",
    minimum=1,
    unit="seconds",
    description="How often a scheduler compares its slots with the records and looks for lost workers.",
)
WORKER_LOST_AFTER = Option(
    section=SECTION,
    name="worker_lost_after",
    type="float",
    default="30",
    minimum=5,
    unit="seconds",
    description="Silence after which a worker is suspected to be lost.",
)
AGENT_LEASE = Option(
    section=SECTION,
    name="agent_lease",
    type="float",
    default="10",
    minimum=2,
    unit="seconds",
    description="How long a watch belongs to an agent that does not renew it; another takes over after that.",
)
RELIST_INTERVAL = Option(
    section=SECTION,
    name="relist_interval",
    type="float",
    default="300",
    minimum=10,
    unit="seconds",
    description="How often the watcher lists all pods to repair what events missed.",
)
EVENT_RETENTION = Option(
    section=SECTION,
    name="event_retention",
    type="float",
    default="3600",
    minimum=60,
    unit="seconds",
    description="How long events stay readable; the newest 10,000 stay in any case.",
)
WORKER_PRELOAD = Option(
    section=SECTION,
    name="worker_preload",
    type="list",
    default="",
    description="Modules that a Celery worker imports once, before it starts its task processes, besides those that "
    "every task needs. They must open no connection and start no thread when they are imported.",
)
WORKER_SHUTDOWN_TIMEOUT = Option(
    section=SECTION,
    name="worker_shutdown_timeout",
    type="float",
    default="0",
    minimum=0,
    unit="seconds",
    description="How long a Celery worker that was told to stop waits for what it runs; what has not ended by then is "
    "ended and fails with that reason. Set it below the grace period of whatever stops the worker. 0: no limit.",
)

HYBRID_OPTIONS: tuple[Option, ...] = (
    ROUTES,
    PROFILES_FILE,
    REDIS_URL,
    REDIS_OPTIONS,
    INSTANCE,
    AGENT,
    CELERY_PARALLELISM,
    KUBERNETES_PARALLELISM,
    LOCAL_PARALLELISM,
    POD_CREATION_RATE,
    STARTING_PODS,
    LAUNCH_PATIENCE,
    RECORD_RETENTION,
    REPAIR_INTERVAL,
    WORKER_LOST_AFTER,
    AGENT_LEASE,
    RELIST_INTERVAL,
    EVENT_RETENTION,
    WORKER_PRELOAD,
    WORKER_SHUTDOWN_TIMEOUT,
)

# Options of removed or foreign executors that this one reads as they stand.
CELERY_KUBERNETES_QUEUE = Option(
    section="celery_kubernetes_executor",
    name="kubernetes_queue",
    type="str",
    default="kubernetes",
    description="Queue whose tasks run in pods, where routes is not set.",
)
LOCAL_KUBERNETES_QUEUE = Option(
    section="local_kubernetes_executor",
    name="kubernetes_queue",
    type="str",
    default="kubernetes",
    description="Queue whose tasks LocalKubernetesExecutor runs in pods, where routes is not set.",
)
