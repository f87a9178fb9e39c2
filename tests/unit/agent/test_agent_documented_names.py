"""The names by which users of Airflow's executors know launcher and watcher."""

from __future__ import annotations

import pytest

from hybrid_executor.agent.launch.launcher import AirflowKubernetesScheduler as DefinedLauncher
from hybrid_executor.agent.launcher import AirflowKubernetesScheduler
from hybrid_executor.agent.watch.watcher import KubernetesJobWatcher as DefinedWatcher
from hybrid_executor.agent.watcher import KubernetesJobWatcher


def test_launcher_and_watcher_are_found_under_their_documented_paths() -> None:
    assert AirflowKubernetesScheduler is DefinedLauncher
    assert KubernetesJobWatcher is DefinedWatcher


@pytest.mark.parametrize("name", ["run_pod_async", "delete_pod", "patch_pod_executor_done", "_make_safe_pod_id"])
def test_the_launcher_has_its_documented_methods(name: str) -> None:
    assert callable(getattr(AirflowKubernetesScheduler, name))


@pytest.mark.parametrize("name", ["run", "_run"])
def test_the_watcher_has_its_documented_methods(name: str) -> None:
    assert callable(getattr(KubernetesJobWatcher, name))
