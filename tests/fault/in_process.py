"""Executors and agents in the tests' own process, with the options that are set now."""

from __future__ import annotations

from hybrid_executor.agent.main import Agent
from hybrid_executor.config import airflow_config, read_settings
from hybrid_executor.config.kubernetes import read_kubernetes_settings
from hybrid_executor.executor import HybridExecutor
from tests.integration.agent.conftest import RunningAgent


def start_executor(job: int, *, parallelism: int) -> HybridExecutor:
    """Start the executor of a scheduler with this job id."""
    executor = HybridExecutor(parallelism=parallelism)
    executor.job_id = job
    executor.start()
    return executor


def start_agent(name: str) -> RunningAgent:
    """Start an agent."""
    conf = airflow_config()
    kubernetes = read_kubernetes_settings(conf)
    return RunningAgent(Agent(settings=read_settings(conf), kubernetes_settings=kubernetes, name=name, hook=None))
