"""The options of ``[hybrid_executor]``: provider info, ``conf/airflow.cfg`` and the docs are made from this table."""

from __future__ import annotations

from hybrid_executor.config.options import Option

SECTION = "hybrid_executor"

ROUTES = Option(
    section=SECTION,
    name="routes",
    type="str",
    default="",
    description="Which queues go to which pool: pattern=pool or pattern=pool:profile, separated by commas or lines. "
    "The first match wins. The last pattern must be '*'. Pools are celery, kubernetes and local. A route may have "
    "several targets, such as 'etl-*=celery(max=200, wait=20s) > kubernetes:spot(tries=2) > kubernetes': an attempt "
    "goes to the first target that has a free slot and meets the conditions. Conditions: max=N (most live attempts of "
    "the route on this target, over all schedulers), wait=DURATION (one that waits so long without a start goes on to "
    "the next target), tries=N (only the first N tries of a task), served (only while a living worker serves the "
    "queue). Unset: "
    "'<kubernetes_queue>=kubernetes, *=celery' with kubernetes_queue from "
    "[celery_kubernetes_executor].",
)
FAIR_SHARE = Option(
    section=SECTION,
    name="fair_share",
    type="str",
    default="",
    description="How queues share scarce slots: pattern=number, separated by commas, for instance "
    "'reports=3, etl-*=1, *=1'. The first match wins; each queue that matches has this share. A queue without a "
    "match has the share 1. So by default all queues are equal. Set it to the same value for schedulers, workers "
    "and agents (docs/elastic-routes.md).",
)
PROFILES_FILE = Option(
    section=SECTION,
    name="profiles_file",
    type="str",
    default="",
    description="YAML file with named pod settings (cluster, namespace, pod template, executor_config) that "
    "routes can use.",
)
REDIS_URL = Option(
    section=SECTION,
    name="redis_url",
    type="str",
    default="",
    sensitive=True,
    description="Redis or Valkey that holds the shared state. A Redis Cluster is not supported. "
    "docs/redis-urls.md lists all forms. Unset: [celery] broker_url, if that is a Redis.",
)
REDIS_OPTIONS = Option(
    section=SECTION,
    name="redis_options",
    type="json",
    default="{}",
    sensitive=True,
    description="More arguments for the Redis client, as a JSON object: TLS files (ssl_ca_certs, ...), "
    "master_name and sentinel_kwargs for sentinel:// URLs, username, password, credential_provider. A "
    "value in the URL wins over the same value here. If Celery uses redis_url too, it gets the "
    "address and the login from here as well.",
)
INSTANCE = Option(
    section=SECTION,
    name="instance",
    type="str",
    default="airflow",
    description="Name of this Airflow deployment in Redis keys and pod labels. Two deployments that share a Redis "
    "or a namespace need two different names. Unset, that of a team is airflow-TEAM (docs/teams.md).",
)
AGENT = Option(
    section=SECTION,
    name="agent",
    type="str",
    default="child",
    allowed=("child", "external", "none"),
    description="Which process creates and watches pods. 'child': the scheduler starts an agent as its child "
    "process. 'external': you run agents yourself (airflow hybrid agent). 'none': no agent is "
    "started.",
)
CELERY_PARALLELISM = Option(
    section=SECTION,
    name="celery_parallelism",
    type="int",
    default="0",
    minimum=0,
    unit="tasks",
    description="Maximum number of tasks that one scheduler has queued or running on Celery. 0: as [core] parallelism.",
)
KUBERNETES_PARALLELISM = Option(
    section=SECTION,
    name="kubernetes_parallelism",
    type="int",
    default="0",
    minimum=0,
    unit="tasks",
    description="Maximum number of tasks that one scheduler has queued or running in pods. 0: as [core] parallelism.",
)
LOCAL_PARALLELISM = Option(
    section=SECTION,
    name="local_parallelism",
    type="int",
    default="0",
    minimum=0,
    unit="tasks",
    description="Maximum number of tasks that run in the scheduler's own local pool. 0: as [core] parallelism.",
)
POD_CREATION_RATE = Option(
    section=SECTION,
    name="pod_creation_rate",
    type="float",
    default="100",
    minimum=0.1,
    unit="pods per second",
    description="Maximum rate of pod creation in one cluster, for all agents together.",
)
STARTING_PODS = Option(
    section=SECTION,
    name="starting_pods",
    type="int",
    default="0",
    minimum=0,
    unit="pods",
    description="Maximum number of pods in one cluster that are starting: created, but their task does not run "
    "yet. It counts the pods of all agents. Too many starting pods slow down each other and Airflow's "
    "API server. 0: the limit adapts. It begins at 8 and doubles as long as tasks start within 10 "
    "seconds.",
)
POD_TOKEN = Option(
    section=SECTION,
    name="pod_token",
    type="str",
    default="args",
    allowed=("args", "stdin"),
    description="How a pod gets its workload, which holds a token. 'args': in the arguments of its container, as with "
    "Airflow's KubernetesExecutor. Everyone who may read pods can read them. 'stdin': an agent writes it to the "
    "standard input of the container when that runs. Agents then need a right on pods/attach: docs/security.md.",
)
LAUNCH_PATIENCE = Option(
    section=SECTION,
    name="launch_patience",
    type="float",
    default="120",
    minimum=0,
    unit="seconds",
    description="How long to retry a pod that the cluster refuses for a reason that may be fixed soon: a missing "
    "service account, a missing right to create pods, a registry that is busy or down. A missing "
    "namespace is retried for at most 15 seconds. Temporary refusals (quota, throttling, server "
    "errors) are retried for longer.",
)
RECORD_RETENTION = Option(
    section=SECTION,
    name="record_retention",
    type="int",
    default="86400",
    minimum=600,
    unit="seconds",
    description="How long Redis keeps the record of an attempt after it ended. It must not be shorter than a "
    "token is valid. The record also shows that a message is a duplicate: if this value is shorter "
    "than [celery_broker_transport_options] visibility_timeout, records are kept for "
    "visibility_timeout plus one hour.",
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
    description="A worker that has been silent for this long may be lost.",
)
AGENT_LEASE = Option(
    section=SECTION,
    name="agent_lease",
    type="float",
    default="10",
    minimum=2,
    unit="seconds",
    description="An agent that does not renew its lease for this long loses it, and another agent takes over the "
    "watch.",
)
RELIST_INTERVAL = Option(
    section=SECTION,
    name="relist_interval",
    type="float",
    default="300",
    minimum=10,
    unit="seconds",
    description="How often the watcher lists all pods, to find changes that were missed.",
)
EVENT_RETENTION = Option(
    section=SECTION,
    name="event_retention",
    type="float",
    default="3600",
    minimum=60,
    unit="seconds",
    description="How long events are kept in Redis. The newest 10,000 events are always kept.",
)
EVENT_WAIT = Option(
    section=SECTION,
    name="event_wait",
    type="float",
    default="1",
    minimum=0,
    maximum=5,
    unit="seconds",
    description="How long an idle scheduler waits for the end of a task before its next loop. If a task ends, the "
    "loop continues at once, so the tasks after it start sooner. [scheduler] scheduler_idle_sleep_time "
    "is subtracted. So set that to 0: with Airflow's default of 1 second, nothing is left to wait. If "
    "Airflow has several executors, this option has no effect.",
)
WORKER_PRELOAD = Option(
    section=SECTION,
    name="worker_preload",
    type="list",
    default="",
    description="Python modules that a Celery worker imports once, before it starts its task processes. Airflow's "
    "own modules that every task needs, those of installed plugins, and numpy where it is installed are always "
    "imported. The modules must not open connections or start threads when they are imported.",
)
WORKER_SHUTDOWN_TIMEOUT = Option(
    section=SECTION,
    name="worker_shutdown_timeout",
    type="float",
    default="0",
    minimum=0,
    unit="seconds",
    description="How long a stopping Celery worker waits for its running tasks. Tasks that still run after that "
    "are ended, and they fail with this reason. Set it to less than the grace period of the system "
    "that stops the worker (Kubernetes, systemd, Docker). 0: no limit.",
)
WORKER_PARSE_SECONDS = Option(
    section=SECTION,
    name="worker_parse_seconds",
    type="float",
    default="300",
    minimum=0,
    unit="seconds",
    description="How long the tasks of a Celery worker may use one parse of their Dag file. The worker parses the file "
    "again when it, or anything that it read, has changed. A file that does more than read files while it is parsed is "
    "still parsed by each task. 0: each task parses its file, as Airflow does.",
)
WORKER_PARSED_FILES = Option(
    section=SECTION,
    name="worker_parsed_files",
    type="int",
    default="8",
    minimum=1,
    description="How many Dag files a Celery worker keeps parsed, each in a process of its own. If there are more, the "
    "least recently used one is dropped.",
)

HYBRID_OPTIONS: tuple[Option, ...] = (
    ROUTES,
    FAIR_SHARE,
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
    POD_TOKEN,
    LAUNCH_PATIENCE,
    RECORD_RETENTION,
    REPAIR_INTERVAL,
    WORKER_LOST_AFTER,
    AGENT_LEASE,
    RELIST_INTERVAL,
    EVENT_RETENTION,
    EVENT_WAIT,
    WORKER_PRELOAD,
    WORKER_SHUTDOWN_TIMEOUT,
    WORKER_PARSE_SECONDS,
    WORKER_PARSED_FILES,
)

# Options of executors that Airflow removed; this executor reads them too.
CELERY_KUBERNETES_QUEUE = Option(
    section="celery_kubernetes_executor",
    name="kubernetes_queue",
    type="str",
    default="kubernetes",
    description="Queue whose tasks run in pods if routes is not set.",
)
LOCAL_KUBERNETES_QUEUE = Option(
    section="local_kubernetes_executor",
    name="kubernetes_queue",
    type="str",
    default="kubernetes",
    description="Queue whose tasks LocalKubernetesExecutor runs in pods if routes is not set.",
)
