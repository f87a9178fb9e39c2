"""What every task process would import or read, taken in once before the worker forks them.

Must never open a connection or start a thread: both would be shared by all task processes.
"""

from __future__ import annotations

import gc
import logging
import platform
from collections.abc import Sequence
from importlib import import_module

from hybrid_workers.kept_decoders import keep_decoders
from hybrid_workers.tried_modules import import_tried_modules

log = logging.getLogger(__name__)

# The path of a task from message to operator: supervisor, runner, Dag parsing, serialization, the usual operators.
_MODULES = (
    "airflow.sdk",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.sdk.execution_time.callback_supervisor",
    "airflow.sdk.api.client",
    "airflow.sdk.definitions.asset.metadata",
    "airflow.sdk.definitions.decorators",
    "airflow.sdk.definitions.decorators.condition",
    "airflow.sdk.definitions.decorators.setup_teardown",
    "airflow.sdk.definitions.decorators.task_group",
    "airflow.sdk._shared.logging.factory",
    "airflow.sdk._shared.logging.remote",
    "airflow.executors.base_executor",
    "airflow.executors.workloads",
    "airflow.dag_processing.dagbag",
    "airflow.dag_processing.bundles.manager",
    "airflow.dag_processing.bundles.local",
    "airflow.serialization.serialized_objects",
    "airflow.providers.standard.decorators",
    "airflow.providers.standard.decorators.python",
    "airflow.providers.standard.operators.python",
    "airflow.providers.standard.operators.bash",
    "airflow.providers.standard.operators.empty",
    "airflow.utils.serve_logs",
    "airflow.version",
    "encodings.idna",
    "jinja2",
    "jinja2.ext",
    "setproctitle",
    # Most providers import it, and it opens a socket then, to see whether there is IPv6: a Dag file that does that is
    # not kept parsed.
    "requests",
    # "requests" imports it with its first request. If an exporter's thread does that just when a task's process is
    # forked, the process inherits the lock of this import, and hangs when the task sends its spans.
    "netrc",
    "hybrid_executor.compat",
)


def preload(extra: Sequence[str] = ()) -> None:
    """Take in what tasks need and freeze the heap, so that forked processes share its pages.

    :param extra: the deployment's own modules. One that cannot be imported is a warning: a task may not need it.
    """
    for name in _MODULES:
        try:
            import_module(name)
        except ImportError as error:
            log.debug("%s is not preloaded: %s", name, error)
    for name in extra:
        try:
            import_module(name)
        except Exception as error:  # noqa: BLE001 - a deployment's module may raise anything; its tasks will tell
            log.warning("[hybrid_executor] worker_preload: %s cannot be imported: %s", name, error)
    import_tried_modules()
    _trust_certificates()
    keep_decoders()
    platform.platform()  # many libraries ask for it when they are imported, and the first answer takes a process
    gc.collect()
    gc.freeze()


def _trust_certificates() -> None:
    """Read the certificates of authorities once; the Task SDK keeps them, where its client can be made at all."""
    from airflow.sdk.api.client import Client

    try:
        Client(base_url="http://nobody", token="").close()
    except Exception as error:  # noqa: BLE001 - such as a file that is not there: each task says so, with its name
        log.debug("The certificates of authorities are not preloaded: %s", error)
