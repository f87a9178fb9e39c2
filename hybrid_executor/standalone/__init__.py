"""A whole Airflow on one machine: its processes, their environment, and the guarantee that all of them end.

Belongs here: starting, watching and stopping processes, and the environment that makes them one deployment. Does not
belong here: what the processes do. Used by ``airflow hybrid standalone``, by the demo and by end-to-end tests.
"""

from __future__ import annotations

from hybrid_executor.standalone.api import AirflowApi
from hybrid_executor.standalone.local_airflow import LocalAirflow, Plan
from hybrid_executor.standalone.stack import Component, Stack, StackFailed

__all__ = ["AirflowApi", "Component", "LocalAirflow", "Plan", "Stack", "StackFailed"]
