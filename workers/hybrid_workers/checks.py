"""What is checked before a worker starts, so that a mistake is reported in one line."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import kombu
from kombu.exceptions import OperationalError

from hybrid_executor.complaints import REDIS, Complaints
from hybrid_executor.config.broker import Broker, redis_client_arguments
from hybrid_executor.config.celery import AUTOSCALE_FORM
from hybrid_executor.config.celery_table import SECTION
from hybrid_executor.errors import ConfigError, StoreForbidden, StoreUnavailable
from hybrid_executor.store import (
    Member,
    Needs,
    RedisSettings,
    Store,
    broker_needs,
    check_broker_permissions,
    check_server,
    refusal_of,
)

_ANNOUNCED_AGAIN_SECONDS = 12.0
_PAUSE_SECONDS = 0.5


def check_pool(pool: Any) -> None:
    """Make sure that each workload gets a process of its own to be supervised in.

    Airflow's supervisor takes over the signals of the process that it runs in. In a thread it cannot; beside another
    one, or in the worker's own process, it keeps the worker from ever hearing that it is to stop.

    :param pool: a pool of Celery's, by its name or import path or as a class.
    :raises ConfigError: it is another one than prefork.
    """
    from celery.concurrency import get_implementation  # type: ignore[import-untyped]
    from celery.concurrency.prefork import TaskPool  # type: ignore[import-untyped]

    try:
        implementation = get_implementation(pool)
    except (ImportError, AttributeError, ValueError):
        implementation = None
    if not (isinstance(implementation, type) and issubclass(implementation, TaskPool)):
        name = pool if isinstance(pool, str) else pool.__module__
        raise ConfigError(
            f"Celery's pool {name} cannot run Airflow's workloads, each of which must be supervised in a process of "
            "its own: set [celery] pool = prefork, and worker_concurrency to how many run at the same time (1 in "
            "place of solo)."
        )


def check_size(worker: Any) -> None:
    """Make sure that a worker may have at least one task process.

    :param worker: Celery's worker, before it has its pool.
    :raises ConfigError: it may have none, and would hold messages and run nothing for ever.
    """
    autoscale = worker.options.get("autoscale")
    if isinstance(autoscale, list | tuple) and (max(autoscale) < 1 or min(autoscale) < 0):
        shown = ",".join(str(number) for number in autoscale)
        raise ConfigError(f"--autoscale {shown} is not valid: write {AUTOSCALE_FORM}.")
    if isinstance(worker.concurrency, int) and worker.concurrency < 1:
        raise ConfigError(f"--concurrency {worker.concurrency} is not valid: write a number of at least 1.")


def check_store(store: Store, *, patience_seconds: float) -> None:
    """Wait until Redis answers.

    :raises ConfigError: it does not in time, or refuses us; the message names the options that hold its address.
    """
    deadline = time.monotonic() + patience_seconds
    complaints = Complaints()
    while True:
        try:
            store.check_writes()
            return
        except StoreForbidden:
            raise
        except StoreUnavailable as error:
            trouble = str(error).rstrip(".")
            message = (
                f"{trouble}. Start it, or correct [hybrid_executor] redis_url and redis_options (unset: [celery] "
                "broker_url and, for TLS, the ssl_ options)"
            )
            if time.monotonic() >= deadline:
                raise ConfigError(f"{message}.") from error
            complaints.report(
                REDIS, "%s. Trying for %.0f s more", message, patience_seconds, cause="start", level=logging.ERROR
            )
            time.sleep(_PAUSE_SECONDS)


def check_broker(app: Any, broker: Broker) -> None:
    """Connect to a broker that is not the store's Redis, once.

    :raises ConfigError: it does not answer, or is a Redis Cluster.
    """
    if broker.is_redis:
        url, options = redis_client_arguments(broker)
        with suppress(StoreUnavailable):  # reported below, in Celery's words
            check_server(RedisSettings(url=url, options=options), name=f"[{SECTION}] broker_url")
    try:
        with app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, interval_max=0, timeout=10)
    except (OperationalError, OSError) as error:
        raise ConfigError(
            f"The Celery broker cannot be reached ({type(error).__name__}: {error}): start it, or correct [celery] "
            f"broker_url ({app.connection_for_read().as_uri()}){' and the ssl_ options' if broker.tls else ''}."
        ) from error


def check_permissions(app: Any, store: Store, broker: Broker, *, queues: Sequence[str], name: str) -> None:
    """Make sure that the users of store and broker may do all that a worker does.

    :raises ConfigError: they may not; the message names what is missing.
    """
    store.check_permissions()
    if not broker.is_redis:
        return
    try:
        with app.connection_for_read() as connection:
            channel = connection.default_channel
            check_broker_permissions(channel.pool, _needs_of(app, channel, queues=queues, name=name))
    except Exception as error:
        refusal = refusal_of(error)
        if refusal is None:
            raise
        raise refusal from error


def _needs_of(app: Any, channel: Any, *, queues: Sequence[str], name: str) -> Needs:
    return broker_needs(
        prefix=channel.global_keyprefix,
        unacked_key=channel.unacked_key,
        fanout_prefix=channel.keyprefix_fanout,
        queues=queues,
        name=name,
        has_remote_control=bool(app.conf.worker_enable_remote_control),
        kombu_version=(kombu.VERSION.major, kombu.VERSION.minor),
    )


def check_name(store: Store, name: str) -> None:
    """Make sure that no other worker of that name is alive. Waits until the announcement of a dead one expires.

    :raises ConfigError: there is one.
    :raises StoreUnavailable: Redis could not be asked.
    """
    known = _member(store, name)
    before = known
    while known is not None and known.is_alive and known.silent_seconds < _ANNOUNCED_AGAIN_SECONDS:
        if _is_dead_process(known.fields):
            return
        if before is not None and known.silent_seconds < before.silent_seconds:
            raise ConfigError(
                f"A worker named {name} is running already (on {known.fields.get('hostname')}): stop it, or give this "
                "one another name with --celery-hostname (for the command celery worker: --hostname)."
            )
        before = known
        time.sleep(_PAUSE_SECONDS)
        known = _member(store, name)


def _member(store: Store, name: str) -> Member | None:
    return next((member for member in store.presence.members("worker") if member.name == name), None)


def _is_dead_process(fields: Mapping[str, str]) -> bool:
    """Return whether the announcement is of a process of this host that has gone."""
    if fields.get("hostname") != socket.gethostname():
        return False
    try:
        os.kill(int(fields.get("pid", "0") or 0), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, ValueError):
        return False
    return int(fields.get("pid", "0")) == os.getpid()
