"""Parses one Dag file in this process and judges whether tasks that are forked from here may use it."""

from __future__ import annotations

import atexit
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hybrid_workers import numpy_chance
from hybrid_workers.parsed import surroundings
from hybrid_workers.parsed.alone import may_be_alone
from hybrid_workers.parsed.stamps import Stamp, find_unsettled, installed_directories, stamp
from hybrid_workers.parsed.surroundings import Surroundings
from hybrid_workers.parsed.watch import Forbidden, ParseWatch

_TIMES_LONGER = 3.0
"""How much longer a parse takes that is watched: two to three times, measured."""
ExitFunction = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class FileKey:
    """A Dag file, of one version of its bundle."""

    bundle: str
    version: str | None
    path: str


@dataclass
class Verdict:
    """What came of a parse.

    :ivar reason: why tasks must not use it, "" if they may.
    :ivar stamps: what it depends on.
    :ivar passes: it is only this parse that cannot be used; the next one may be.
    :ivar exit_functions: what its code registered for the end of the process.
    :ivar result: Airflow's result of the import.
    """

    reason: str = ""
    stamps: dict[str, Stamp] = field(default_factory=dict)
    passes: bool = False
    exit_functions: list[ExitFunction] = field(default_factory=list)
    result: Any = None


def parse_and_judge(key: FileKey, *, outputs: Sequence[int]) -> Verdict:
    """Parse the file as a task of it would and register the result for :class:`ParsedImporter`.

    Only which Dag and task it is parsed for is not in the environment: a file that asks for that is not kept.

    :param outputs: descriptors of the files that take what is printed and logged here.
    """
    from airflow.configuration import AIRFLOW_HOME
    from airflow.dag_processing.importers import get_importer_registry
    from airflow.sdk._shared.secrets_masker import reset_secrets_masker
    from airflow.sdk.configuration import conf

    folder, reason = _find_folder(key)
    if reason:
        return Verdict(reason=reason)
    path = os.fspath(Path(folder, key.path))
    registry = get_importer_registry()
    importer = registry.get_importer(path)
    if importer is None or not os.path.isfile(path):
        return Verdict(reason="there is no such Dag file", stamps={path: stamp(path)})
    reset_secrets_masker()
    if folder not in sys.path:  # as BundleDagBag does
        sys.path.append(folder)
    watch = ParseWatch(folder, [AIRFLOW_HOME, conf.get("core", "plugins_folder", fallback="") or folder])
    for directory in (*installed_directories(), *(entry for entry in sys.path if os.path.isdir(entry))):
        watch.read.setdefault(directory, stamp(directory))
    watch.note(path)
    modules = set(sys.modules)
    before, begun = Surroundings.look(outputs), time.time_ns()
    verdict = Verdict(stamps=watch.read)
    try:
        with _noted(verdict.exit_functions), _without_supervisor(watch), _more_time(), watch.watching():
            verdict.result = importer.import_file(
                path, bundle_path=Path(folder), bundle_name=key.bundle, safe_mode=False
            )
    except (Forbidden, Exception) as error:  # noqa: BLE001 - whatever it raises, the ordinary way shows it to the user
        watch.reason = watch.reason or f"it cannot be imported: {type(error).__name__}"
    for name, module in list(sys.modules.items()):
        if name not in modules:
            watch.note(getattr(module, "__file__", None))
    verdict.reason = watch.reason or _find_reason(verdict, before, outputs)
    if not verdict.reason and (conf.get("core", "default_impersonation", fallback=None) or _has_other_users(verdict)):
        verdict.reason = "a task of it runs as another user"
    if not verdict.reason and (changed := find_unsettled(verdict.stamps, since=begun)):
        verdict.reason, verdict.passes = f"{changed} changed while it was parsed", True
    if not verdict.reason:
        is_alone = may_be_alone(verdict.result.dags)
        registry.register(_parsed_importer(Path(path).suffix)(importer, path, verdict.result, is_alone))
    return verdict


def _find_folder(key: FileKey) -> tuple[str, str]:
    """Return the directory of the bundle, or why its files must be parsed by each task.

    Each task lets its bundle make itself ready, which may bring new files. A local directory has nothing to bring, and
    one version of a bundle is always the same. The bundle is only asked for its path.
    """
    from airflow.dag_processing.bundles.local import LocalDagBundle
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    bundles: Any = DagBundlesManager
    try:
        bundle = bundles().get_bundle(name=key.bundle, version=key.version)
        folder = str(bundle.path)
    except Exception as error:  # noqa: BLE001 - a bundle may be anybody's class; each task shows what is wrong
        return "", f"its bundle cannot be made here: {type(error).__name__}"
    if type(bundle) is LocalDagBundle or (key.version and bundle.supports_versioning):
        return folder, ""
    return "", f"its bundle, a {type(bundle).__name__} without a version, may bring new files for each task"


def _find_reason(verdict: Verdict, before: Surroundings, outputs: Sequence[int]) -> str:
    if verdict.result is None or verdict.result.errors:
        return "it cannot be imported"
    if not verdict.result.dags:
        return "it has no Dags"
    after = Surroundings.look(outputs)
    if reason := before.find_difference(after, at_exit=len(verdict.exit_functions)):
        return reason
    if surroundings.has_children():
        return "it starts a process"
    if surroundings.has_threads():
        return "it starts a thread"
    # Other generators of numpy are not of chance, or the watch saw where they had it from.
    return "" if numpy_chance.is_untouched() else "it seeds or uses the random numbers of numpy"


def _has_other_users(verdict: Verdict) -> bool:
    tasks = (task for dag in verdict.result.dags for task in dag.task_dict.values())
    return any(getattr(task, "run_as_user", None) for task in tasks)


def _parsed_importer(extension: str) -> type:
    """Return the class of the importer; made here, as its base belongs to Airflow."""
    from airflow.dag_processing.importers.base import AbstractDagImporter
    from airflow.sdk.definitions.context import get_parsing_context

    class ParsedImporter(AbstractDagImporter):
        """Gives the parsed Dags of one file to who asks for it first, and leaves all else to Airflow's importer.

        Where ``is_alone``, that is the one Dag that a task asks for.
        """

        def __init__(self, importer: Any, path: str, result: Any, is_alone: bool) -> None:
            self._importer, self._path, self._result, self._is_alone = importer, path, result, is_alone

        @classmethod
        def supported_extensions(cls) -> list[str]:
            return [extension]

        def list_dag_files(self, *args: Any, **named: Any) -> Any:
            return self._importer.list_dag_files(*args, **named)

        def import_file(self, file_path: Any, **named: Any) -> Any:
            asked = get_parsing_context()
            dags = {dag.dag_id: dag for dag in self._result.dags} if self._result and asked.dag_id else {}
            if str(file_path) != self._path or asked.task_id not in getattr(
                dags.get(asked.dag_id or ""), "task_dict", {}
            ):
                return self._importer.import_file(file_path, **named)
            result, self._result = self._result, None
            if self._is_alone:
                result.dags = [dags[asked.dag_id]]
            return result

    return ParsedImporter


@contextmanager
def _more_time() -> Iterator[None]:
    """Let the import take longer than Airflow allows, as it is watched. What takes too long has no tasks, anyway."""
    from airflow.policies import hookimpl
    from airflow.settings import get_policy_plugin_manager

    class MoreTime:
        @staticmethod
        @hookimpl(hookwrapper=True)
        def get_dagbag_import_timeout(dag_file_path: str) -> Iterator[None]:
            outcome: Any = yield
            outcome.force_result(outcome.get_result() * _TIMES_LONGER)

    plugins = get_policy_plugin_manager()
    plugins.register(MoreTime)
    try:
        yield
    finally:
        plugins.unregister(MoreTime)


@contextmanager
def _noted(functions: list[ExitFunction]) -> Iterator[None]:
    """Note what is registered for the end of the process: Airflow clears that in each new process."""
    register = atexit.register

    def note(function: Any, *args: Any, **named: Any) -> Any:
        functions.append((function, args, named))
        return register(function, *args, **named)

    atexit.register = note  # type: ignore[assignment]
    try:
        yield
    finally:
        atexit.register = register


@contextmanager
def _without_supervisor(watch: ParseWatch) -> Iterator[None]:
    """Answer nothing that a supervisor would: each task has its own."""
    from airflow.sdk.execution_time import task_runner

    class Nobody:
        def __getattr__(self, name: str) -> Any:
            watch.forbid("it asks Airflow for a Variable, a Connection or an XCom")

    runner: Any = task_runner
    runner.SUPERVISOR_COMMS = Nobody()
    try:
        yield
    finally:
        del runner.SUPERVISOR_COMMS
