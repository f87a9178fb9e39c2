"""``python -m hybrid_executor.agent``: an agent with as little of Airflow as possible."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
import threading
from collections.abc import Sequence
from typing import get_args

from hybrid_executor.agent.process import (
    end_with_parent,
    has_lost_parent,
    log_to_stderr,
    stop_on_signals,
)
from hybrid_executor.config.settings import Shape
from hybrid_executor.config.teams import VARIABLE as TEAM_VARIABLE
from hybrid_executor.errors import ConfigError

log = logging.getLogger(__name__)

EXIT_CONFIG = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an agent until a signal, or the end of its parent; return the exit code: 2 for a wrong configuration."""
    options = _parse(arguments)
    stop = threading.Event()
    stop_on_signals(stop)
    if options.parent_pid:
        end_with_parent(options.parent_pid)
    if options.team is not None:
        os.environ[TEAM_VARIABLE] = options.team
    # As a library, Airflow sets up neither its database nor its logging. An agent needs neither.
    os.environ.setdefault("_AIRFLOW__AS_LIBRARY", "1")
    from hybrid_executor.agent.launch.mutation_hook import airflow_config_folder, load_mutation_hook
    from hybrid_executor.agent.main import run_agent
    from hybrid_executor.config import process_config, read_settings
    from hybrid_executor.config.identity import read_identity
    from hybrid_executor.config.kubernetes import read_kubernetes_settings
    from hybrid_executor.config.suspects import warn_of_suspects
    from hybrid_executor.config.teams import process_team, words_of
    from hybrid_executor.metrics import open_metrics, read_metrics_settings

    log_to_stderr()
    warn_of_suspects(log.warning)
    try:
        with words_of(process_team()):
            conf = process_config()
            hook = load_mutation_hook(
                config_folder=airflow_config_folder(),
                plugins_folder=str(conf.get("core", "plugins_folder", fallback="") or ""),
            )
            settings = read_settings(conf, shape=options.shape)
            kubernetes_settings = read_kubernetes_settings(conf)
            # Airflow's own objects stay until the end. Searching them for garbage would cost a third of our time.
            gc.collect()
            gc.freeze()
            return run_agent(
                settings=settings,
                kubernetes_settings=kubernetes_settings,
                name=options.name or None,
                hook=hook,
                identity=read_identity(conf, instance=settings.instance),
                stop=stop,
                metrics=open_metrics(read_metrics_settings(conf)),
                has_lost_parent=lambda: bool(options.parent_pid) and has_lost_parent(options.parent_pid),
            )
    except ConfigError as error:
        log.error("%s", error)
        return EXIT_CONFIG


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m hybrid_executor.agent", description="Launches and watches pods.")
    parser.add_argument("--name", default="", help="name of this agent, unique among all agents")
    parser.add_argument("--parent-pid", type=int, default=0, help="end when this parent process has ended")
    parser.add_argument(
        "--shape", choices=get_args(Shape), default="hybrid", help="which executor's default routes are meant"
    )
    parser.add_argument("--team", help=f"team of Airflow's multi-team mode (default: the variable {TEAM_VARIABLE})")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    # A thread may still wait for a server that hangs, until its deadline. Its work has been given up.
    sys.stdout.flush()
    os._exit(code)
