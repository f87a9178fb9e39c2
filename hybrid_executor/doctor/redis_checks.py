"""What the facts of a Redis mean. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hybrid_executor.doctor.findings import Finding, failure, ok, unknown, warning
from hybrid_executor.store import Missing
from hybrid_executor.store.examination import Pace, RedisFacts

SLOW_SECONDS = 0.02
"""A loop of the scheduler asks Redis a few times, and each start and end of a task is a call too."""
CLOCK_SECONDS = 2.0
FULL_SHARE, NEARLY_FULL_SHARE = 0.95, 0.8
_MANY_CLIENTS_SHARE = 0.9


def judge_address(facts: RedisFacts) -> Finding:
    """Return where the connection leads."""
    tls = "with TLS" if facts.is_tls else "without TLS"
    server = facts.server or "a server that does not say its version"
    return ok("reachable", f"{facts.address}, database {facts.database}, user {facts.user}, {tls}: {server}")


def judge_cluster(is_cluster: bool) -> Finding:
    """A Redis Cluster cannot hold queues and records in one slot."""
    if not is_cluster:
        return ok("cluster mode", "off")
    return failure(
        "cluster mode",
        "this is a Redis Cluster (cluster-enabled yes): Celery's queues and the records of their tasks are not in one "
        "slot, and Celery does not support a cluster",
        "use one Redis or Valkey, with replicas and Sentinel, or a managed one with cluster mode disabled",
    )


def judge_eviction(facts: RedisFacts) -> Finding:
    """Every policy but noeviction deletes messages and state when memory is full."""
    name, policy, evicted = "eviction policy", facts.eviction_policy, facts.evicted_keys or 0
    cure = "set maxmemory-policy noeviction in redis.conf (or the parameter group of a managed Redis)"
    if evicted and policy != "noeviction":
        return failure(name, f"{policy}: {evicted} keys were deleted since the server's start; tasks were lost", cure)
    if policy is None:
        return unknown(name, "the server does not show it to this user", f"make sure of it: {cure}")
    if policy == "noeviction":
        return ok(name, "noeviction: a full Redis refuses writes and loses nothing")
    if facts.memory_limit:
        return failure(name, f"{policy}: when memory is full, Redis deletes queued tasks and their state", cure)
    return warning(name, f"{policy}, which has no effect only because maxmemory is not set", cure)


def judge_persistence(facts: RedisFacts) -> Finding:
    """Say what a restart of the server loses."""
    name = "persistence"
    if facts.has_append_only_file is None:
        return unknown(name, "the server does not show it to this user", "make sure that appendonly is yes")
    if facts.has_append_only_file:
        return ok(name, "append-only file: a crash loses about the last second, which all write again")
    if facts.snapshots is None:
        return unknown(
            name,
            "no append-only file; whether there are snapshots is not shown to this user",
            "set appendonly yes, as in conf/redis.conf",
        )
    if facts.snapshots == "":
        return warning(
            name,
            "none: a restart of the server loses everything. Schedulers, workers and agents write again what they "
            "know; queued tasks of a scheduler that is down then go back to Airflow, and records of ended tasks are "
            "gone",
            "set appendonly yes, as in conf/redis.conf",
        )
    if facts.last_save_status not in (None, "ok"):
        return failure(name, "the last snapshot failed", "look into the server's log, and at its disk and memory")
    return ok(
        name,
        f"snapshots (save {facts.snapshots}): a crash loses the changes since the last one, which schedulers, workers "
        "and agents write again; appendonly yes would lose about a second",
    )


def judge_memory(facts: RedisFacts) -> Finding:
    """Compare the memory in use with the limit."""
    name, used, limit = "memory", facts.memory_used, facts.memory_limit
    if used is None or limit is None:
        return unknown(name, "the server does not show it to this user")
    if not limit:
        return ok(name, f"{_mib(used)} used, no maxmemory: only the machine's memory limits it")
    share = used / limit
    what = f"{_mib(used)} of {_mib(limit)} used ({share:.0%})"
    cure = "raise maxmemory, or shorten [hybrid_executor] record_retention and event_retention"
    if share >= FULL_SHARE:
        return failure(name, f"{what}: Redis refuses writes when it is full, and no task starts", cure)
    if share >= NEARLY_FULL_SHARE:
        return warning(name, f"{what}: more than {NEARLY_FULL_SHARE:.0%}", cure)
    return ok(name, what)


def judge_role(facts: RedisFacts) -> Finding:
    """A replica takes no writes."""
    if facts.role is None:
        return unknown("role", "the server does not show it to this user")
    if facts.role == "master":
        return ok("role", "primary")
    return failure(
        "role",
        "a read-only replica: it refuses writes",
        "use the address of the primary, or a sentinel:// URL, which leads to it after a fail-over too",
    )


def judge_replication_id(facts: RedisFacts) -> Finding:
    """Without the id, a fail-over that lost the last changes looks like no change at all."""
    name = "loss of data"
    if facts.replication_id:
        return ok(name, "the replication id is visible: a restart or a fail-over is noticed")
    return warning(
        name,
        "the server hides its replication id (master_replid in INFO replication): only the loss of all data is "
        "noticed, not that of the last changes at a fail-over",
        "grant +info; where a managed service hides the id, use a replica that acknowledges each write",
    )


def judge_clients(facts: RedisFacts) -> Finding:
    """Compare the open connections with the limit."""
    name = "connections"
    if not facts.clients or not facts.most_clients:
        return unknown(name, "the server does not show them to this user")
    what = f"{facts.clients} of {facts.most_clients}"
    if facts.clients >= facts.most_clients * _MANY_CLIENTS_SHARE:
        return warning(name, f"{what}: Redis refuses connections above its limit", "raise maxclients")
    return ok(name, what)


def judge_latency(pace: Pace) -> Finding:
    """Compare the median time of an answer with the bound."""
    what = f"{pace.seconds * 1000:.1f} ms for an answer (median of 9; slowest {pace.slowest_seconds * 1000:.1f} ms)"
    if pace.seconds <= SLOW_SECONDS:
        return ok("latency", what)
    return warning(
        "latency",
        f"{what}: more than {SLOW_SECONDS * 1000:.0f} ms. Each start and end of a task takes several calls",
        "run Redis in the same network zone, and look for slow commands (SLOWLOG) and a busy processor",
    )


def judge_clock(pace: Pace) -> Finding:
    """Compare the server's clock with this host's."""
    ahead = pace.clock_ahead_seconds
    what = f"the server's clock is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} this host's"
    if abs(ahead) <= CLOCK_SECONDS:
        return ok("clock", what)
    return warning(
        "clock",
        f"{what}: more than {CLOCK_SECONDS:.0f} s. Tokens of tasks may be refused, and times in records are wrong",
        "let both machines set their clocks by NTP",
    )


def judge_same_place(store: RedisFacts, broker: RedisFacts, *, is_meant: bool) -> Finding:
    """Compare where the store and the broker's client have arrived.

    :param is_meant: the configuration names the same database for both.
    """
    name = "broker and store"
    is_same = (store.run_id, store.database) == (broker.run_id, broker.database)
    if store.run_id is None or broker.run_id is None:
        return unknown(name, "the server does not say which one it is, so both cannot be compared")
    if is_meant and not is_same:
        return failure(
            name,
            f"the store is at {store.address}, database {store.database}, but Celery's client has arrived at "
            f"{broker.address}, database {broker.database}: messages are written where no worker reads",
            "write the same URL in [hybrid_executor] redis_url and [celery] broker_url, or leave out the second one",
        )
    if is_same and not is_meant:
        return warning(
            name,
            "store and broker are the same database under two addresses, so a record and its message are not written "
            "in one step",
            "write the same URL in [hybrid_executor] redis_url and [celery] broker_url",
        )
    if is_same:
        return ok(name, "store and broker: a record and its message are written in one step")
    return ok(name, "no, the broker is another database: messages are sent after their records")


def judge_broker_permissions(missing: Missing, queues: Sequence[str], *, are_workers_alive: bool) -> Finding:
    """A worker's user needs more than a scheduler's, and this process may be either."""
    name = "permissions"
    if not missing:
        tried = "each command, key and channel that Celery's client uses"
        return ok(name, f"{tried}, tried for {', '.join(queues) or 'no queue'}")
    what, cure = words_of(missing), grant(missing)
    if are_workers_alive:
        return warning(name, f"{what}. Workers need them; those that are alive may use another user", cure)
    return failure(name, f"{what}. A worker with this user does not start", cure)


def words_of(missing: Missing) -> str:
    """Return who lacks what."""
    return f"the Redis user {missing.user} lacks {missing}"


def grant(missing: Missing) -> str:
    """Return the command that grants what is missing."""
    channels = [channel.partition(" (")[0] for channel in missing.channels]
    needs_commands = [name for channel in missing.channels for name in ("PUBLISH", "PSUBSCRIBE") if name in channel]
    rules = [
        *(f"+{name.lower()}" for name in dict.fromkeys([*missing.commands, *needs_commands])),
        *(f"~{pattern}" for pattern in missing.keys),
        *(f"&{channel}" for channel in channels),
    ]
    return f"ACL SETUSER {missing.user} {' '.join(rules)} (docs/redis.md has the whole lists)"


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size / 1024:.0f} KiB"
