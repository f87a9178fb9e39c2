"""The table of all metrics. ``docs/metrics.md`` and the files in ``examples/monitoring`` are made from it.

A name follows the prefix of Airflow's stats (``airflow.`` by default) and begins with ``hybrid_executor.``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "timer"]
Role = Literal["scheduler", "agent", "worker", "all"]


@dataclass(frozen=True)
class Metric:
    """One metric.

    :ivar name: without the prefix of Airflow's stats.
    :ivar kind: counters only rise. A gauge holds its last value. A timer is a duration in milliseconds.
    :ivar tags: names of its tags, in the order in which StatsD without tags gets their values.
    :ivar by: which process sends it.
    :ivar unit: of a gauge; "" for a number of things.
    :ivar meaning: for a person, as one sentence.
    """

    name: str
    kind: Kind
    by: Role
    tags: tuple[str, ...]
    meaning: str
    unit: str = ""

    @property
    def prometheus_name(self) -> str:
        """Its name in Prometheus, through statsd_exporter with our mapping. A timer is a histogram in seconds.

        OpenTelemetry's collector makes the same names of counters and gauges. Of a timer it makes one in milliseconds.
        """
        suffix = {"counter": "_total", "gauge": "", "timer": "_seconds"}[self.kind]
        return "airflow_" + self.name.replace(".", "_") + suffix


METRICS: list[Metric] = []
"""All metrics, in the order of the documentation."""


def _metric(name: str, kind: Kind, by: Role, tags: str, meaning: str, *, unit: str = "") -> Metric:
    metric = Metric(f"hybrid_executor.{name}", kind, by, tuple(tags.split()), meaning, unit)
    METRICS.append(metric)
    return metric


# ---- what one scheduler does with its attempts ----

SUBMITTED = _metric(
    "attempts.submitted", "counter", "scheduler", "pool queue", "Attempts that were recorded and handed to their pool."
)
STARTED = _metric("attempts.started", "counter", "scheduler", "pool queue", "Attempts that began to run.")
MOVED = _metric(
    "attempts.moved",
    "counter",
    "scheduler",
    "target queue reason",
    "Attempts that went on to this target of their route, by the condition that they did not meet on the last one: "
    "`wait`, `tries` or `served`.",
)
FINISHED = _metric(
    "attempts.finished",
    "counter",
    "scheduler",
    "pool queue state",
    "Attempts that ended; the state is `succeeded`, `failed` or `revoked`.",
)
REJECTED = _metric(
    "attempts.rejected",
    "counter",
    "scheduler",
    "",
    "Workloads that could not be submitted, such as one with a wrong `executor_config`. They failed.",
)
QUEUED_TIME = _metric(
    "attempts.queued_time",
    "timer",
    "scheduler",
    "pool queue",
    "From the submission of an attempt to its start, on the clock of Redis.",
)
ADOPTED = _metric("attempts.adopted", "counter", "scheduler", "", "Attempts taken over from a scheduler that is gone.")
REPAIRED = _metric(
    "attempts.repaired",
    "counter",
    "scheduler",
    "repair",
    "Attempts that a repair changed: `submitted_again` (message or pod was lost), `recorded_again` (Redis lost the "
    "record), `failed_lost` (its worker or pod is gone), `revoked_revived` (live again in a Redis with older data), "
    "`revoked_unawaited` (it had not started, and its task was skipped, marked or cleared).",
)
SLOTS_HEALED = _metric(
    "slots.healed",
    "counter",
    "scheduler",
    "pool",
    "Slots freed by the comparison with the records, because the event of the end was missed.",
)
EVENTS_LAG = _metric(
    "events.lag", "timer", "scheduler", "", "How long the oldest event of a batch had waited until it was read."
)
HEARTBEAT_TIME = _metric("heartbeat.time", "timer", "scheduler", "", "Duration of one `heartbeat()` of the executor.")

# ---- the whole instance, counted by one scheduler for all ----

QUEUE_DEPTH = _metric(
    "queue.depth", "gauge", "scheduler", "pool queue", "Attempts that wait: for a worker, or for their pod to start."
)
QUEUE_AGE = _metric(
    "queue.age", "gauge", "scheduler", "pool queue", "How long the oldest waiting attempt waits, 0 if none.", unit="s"
)
QUEUE_RUNNING = _metric("queue.running", "gauge", "scheduler", "pool queue", "Attempts that run.")
QUEUE_WORKERS = _metric(
    "queue.workers", "gauge", "scheduler", "queue", "Workers that are alive and take tasks of this queue."
)
QUEUE_SLOTS = _metric(
    "queue.slots",
    "gauge",
    "scheduler",
    "queue",
    "Tasks that these workers run at a time. A worker counts in full for each of its queues.",
)
QUEUE_SHARE = _metric(
    "queue.share", "gauge", "scheduler", "queue", "Share of scarce slots of a queue that has attempts: `fair_share`."
)
TARGET_USED = _metric(
    "target.used", "gauge", "scheduler", "route target", "Live attempts of an elastic route on one of its targets."
)
TARGET_LIMIT = _metric(
    "target.limit", "gauge", "scheduler", "route target", "How many there may be: `max` of the target, if it has one."
)
WORKERS = _metric("workers.alive", "gauge", "scheduler", "", "Workers that are alive.")
AGENTS = _metric("agents.alive", "gauge", "scheduler", "", "Agents that are alive.")
LAUNCHES_WAITING = _metric(
    "launches.waiting",
    "gauge",
    "scheduler",
    "cluster kube_namespace reason",
    "Pods that agents could not create yet: `turn` (rate, or limit of starting pods), `quota`, `busy` (API server "
    "throttles or fails), `namespace`, `account` (missing, or a right is missing).",
)

# ---- agents ----

PODS_CREATED = _metric("pods.created", "counter", "agent", "cluster kube_namespace", "Pods created.")
LAUNCH_TIME = _metric(
    "pods.launch_time",
    "timer",
    "agent",
    "cluster kube_namespace",
    "From the submission of an attempt until its pod was created and recorded, on the clock of Redis.",
)
START_TIME = _metric(
    "pods.start_time",
    "timer",
    "agent",
    "cluster kube_namespace",
    "From the creation of a pod to the start of its task's container, on the cluster's clock, in whole seconds.",
)
LAUNCH_RETRIES = _metric(
    "pods.launch_retries",
    "counter",
    "agent",
    "cluster reason",
    "Creations of pods that were refused or failed and are tried again. The reasons are those of `launches.waiting`, "
    "and `error` for everything that concerns one pod only.",
)
LAUNCHES_FAILED = _metric(
    "pods.launch_failed", "counter", "agent", "cluster category", "Attempts that failed since no pod could be created."
)
RELAUNCHED = _metric(
    "pods.launched_again",
    "counter",
    "agent",
    "cluster category",
    "Pods that died before their task started and are launched again, by the cause of their end.",
)
WATCH_AGE = _metric(
    "watch.age",
    "gauge",
    "agent",
    "cluster kube_namespace",
    "Time since the watch of pods brought anything: an event, a bookmark (one a minute) or a list.",
    unit="s",
)
WATCH_RESTARTS = _metric(
    "watch.restarts",
    "counter",
    "agent",
    "cluster kube_namespace cause",
    "Watches that ended and began again: `ended` (by the server, as usual), `cut`, `gone` (version too old), "
    "`refused`, `redis` (unavailable).",
)
RELIST_TIME = _metric(
    "watch.relist_time", "timer", "agent", "cluster kube_namespace", "Duration of a list of all pods with its repairs."
)
KUBE_REQUESTS = _metric(
    "kube.requests",
    "counter",
    "agent",
    "cluster verb code",
    "Requests to the Kubernetes API by HTTP method (or `WATCH`) and status code; code `none` without an answer.",
)
LEASES_LOST = _metric(
    "leases.lost",
    "counter",
    "agent",
    "lease",
    "Leases that expired or passed to another agent while this one had them.",
)

WARM_HITS = _metric(
    "warm.hits", "counter", "agent", "cluster profile", "Attempts whose workload was handed over to a warm pod."
)
WARM_MISSES = _metric(
    "warm.misses",
    "counter",
    "agent",
    "cluster profile reason",
    "Attempts of a profile with warm pods that got a pod of their own: `none_waiting`, `executor_config`, `hook`, "
    "`coordinator`, `rejected` (no pod can be made of the profile), `redis` (it lost data lately), `forbidden` (the "
    "right to attach is missing); or whose warm pod could not be used: `gone`, `abandoned`.",
)
WARM_HAND_OVER_TIME = _metric(
    "warm.hand_over_time",
    "timer",
    "agent",
    "cluster profile",
    "From the moment when an agent took the launch until the warm pod had accepted the workload.",
)
WARM_PODS = _metric(
    "warm.pods",
    "gauge",
    "agent",
    "cluster profile state",
    "Warm pods without an attempt: `ready`, `starting` or `stale` (to be replaced).",
)
WARM_CPU = _metric("warm.idle_cpu", "gauge", "agent", "cluster profile", "CPU that these pods request.", unit="cores")
WARM_MEMORY = _metric(
    "warm.idle_memory", "gauge", "agent", "cluster profile", "Memory that these pods request.", unit="bytes"
)

# ---- workers ----

PROCESSES_LOST = _metric(
    "worker.processes_lost",
    "counter",
    "worker",
    "category",
    "Attempts whose task process ended without a report (killed, out of memory, time limit), by category.",
)

# ---- all of them ----

REDIS_ERRORS = _metric(
    "redis.errors",
    "counter",
    "all",
    "role code",
    "Times that Redis could not be used, by `scheduler`, `agent` or `worker`, and its error code (`OOM`, `READONLY`, "
    "...); `unreachable` where it gave no answer.",
)
