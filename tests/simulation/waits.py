"""Waits of the product that are longer in a history than in a deployment: fewer of its steps find nothing to do.

Only waits of loops that look for something now and then, and times that are several of those. Nothing that a guard
depends on: leases, time-outs and the times after which something counts as lost are as they are.
"""

from __future__ import annotations

from importlib import import_module

_WAITS: dict[str, dict[str, float]] = {
    "hybrid_executor.agent.launch.launcher": {"_WAIT_MILLISECONDS": 4000},
    "hybrid_executor.agent.launch.pace": {"_WAIT_SECONDS": 1.0},
    "hybrid_executor.agent.leases": {"_TICK_SECONDS": 30.0},
    "hybrid_executor.agent.main": {"_TICK_SECONDS": 1.5, "_ORDERS_EVERY_SECONDS": 3.0, "_CHECK_EVERY_SECONDS": 4.0},
    "hybrid_executor.agent.reaper": {"_LOOK_SECONDS": 3.0},
    "hybrid_executor.agent.warm.choice": {"_ASK_AGAIN_SECONDS": 1.0},
    "hybrid_executor.agent.warm.keeper": {"_TURN_SECONDS": 2.0, "_TICK_SECONDS": 2.0},
    "hybrid_executor.agent.warm.own_pods": {"_LOOK_SECONDS": 0.3},
    "hybrid_executor.agent.watch.watcher": {"_TICK_SECONDS": 1.0},
    "hybrid_executor.executor.loop": {"_ORDERS_SECONDS": 4.0},
    "hybrid_executor.executor.starts": {"_LOOK_EVERY_SECONDS": 3.0},
    "hybrid_workers.heartbeat": {"_LOOK_SECONDS": 2.5},
}


def lengthen_waits() -> None:
    """Set these waits, for the rest of this process."""
    for module_name, waits in _WAITS.items():
        module = import_module(module_name)
        for name, seconds in waits.items():
            if not hasattr(module, name):
                raise AttributeError(f"{module_name} has no {name} any more: correct tests/simulation/waits.py")
            setattr(module, name, seconds)
