"""The tables of ``airflow hybrid``."""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
from importlib import import_module

import pytest
from airflow.cli.cli_config import ActionCommand, GroupCommand

from hybrid_executor.cli import definition

BODIES = {
    "worker": "hybrid_executor.cli.worker_command.worker",
    "workers": "hybrid_executor.cli.workers_command.workers",
    "drain": "hybrid_executor.cli.workers_command.drain",
    "worker-stop": "hybrid_executor.cli.workers_command.stop",
    "worker-add-queue": "hybrid_executor.cli.workers_command.add_queue",
    "worker-remove-queue": "hybrid_executor.cli.workers_command.remove_queue",
    "worker-probe": "hybrid_executor.cli.worker_command.worker_probe",
    "scaler": "hybrid_executor.cli.scaler_command.scaler",
    "flower": "hybrid_executor.cli.flower_command.flower",
    "agent": "hybrid_executor.cli.agent_command.agent",
    "sandbox": "hybrid_executor.cli.sandbox_command.sandbox",
    "standalone": "hybrid_executor.cli.standalone_command.standalone",
    "demo": "hybrid_executor.cli.demo_command.demo",
    "tasks": "hybrid_executor.cli.tasks_command.tasks",
    "queues": "hybrid_executor.cli.queues_command.queues",
    "events": "hybrid_executor.cli.events_command.events",
    "why": "hybrid_executor.cli.why_command.why",
    "status": "hybrid_executor.cli.status_command.status",
    "routes": "hybrid_executor.cli.routes_command.routes",
    "cleanup-pods": "hybrid_executor.cli.cleanup_pods_command.cleanup_pods",
    "agent-drain": "hybrid_executor.cli.agents_command.drain",
    "agent-probe": "hybrid_executor.cli.agents_command.probe",
    "revoke": "hybrid_executor.cli.attempts_command.revoke",
    "forget": "hybrid_executor.cli.attempts_command.forget",
    "reconcile": "hybrid_executor.cli.reconcile_command.reconcile",
    "pod-yaml": "hybrid_executor.cli.pod_yaml_command.pod_yaml",
    "doctor": "hybrid_executor.cli.doctor_command.doctor",
    "migrate": "hybrid_executor.cli.migrate_command.migrate_deployment",
}


def commands() -> dict[str, ActionCommand]:
    (group,) = definition.get_hybrid_cli_commands()
    assert isinstance(group, GroupCommand)
    return {command.name: command for command in group.subcommands if isinstance(command, ActionCommand)}


def parse(name: str, *words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for argument in commands()[name].args:
        argument.add_to_parser(parser)
    return parser.parse_args(words)


def test_there_is_one_group_of_our_own_name() -> None:
    (group,) = definition.get_hybrid_cli_commands()
    assert group.name == "hybrid"
    assert set(commands()) == set(BODIES)


@pytest.mark.parametrize(("name", "path"), BODIES.items())
def test_each_command_has_a_body_that_its_table_names(name: str, path: str) -> None:
    module, _, function = path.rpartition(".")
    assert callable(getattr(import_module(module), function))
    assert commands()[name].func.__name__ == function


def test_a_worker_takes_the_arguments_that_users_of_celery_workers_know() -> None:
    args = parse("worker", "-q", "a,b", "-c", "3", "-H", "w@%h", "-s", "-a", "8,2", "--without-gossip", "-D")
    assert (args.queues, args.concurrency, args.celery_hostname) == ("a,b", 3, "w@%h")
    assert args.skip_serve_logs
    assert args.autoscale == "8,2"
    assert args.without_gossip
    assert args.daemon


def test_no_help_text_holds_brackets_that_airflows_help_would_swallow() -> None:
    texts = [command.help for command in commands().values()]
    texts += [str(argument.kwargs.get("help")) for command in commands().values() for argument in command.args]
    assert [text for text in texts if "[" in text] == []


def test_the_tables_load_neither_bodies_nor_libraries() -> None:
    code = (
        "import sys, airflow.cli.cli_config; before = set(sys.modules); import hybrid_executor.cli.definition as d; "
        "d.get_hybrid_cli_commands(); print(sorted(m for m in set(sys.modules) - before if not m.endswith('cli')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = ast.literal_eval(done.stdout.strip().splitlines()[-1])
    assert "hybrid_executor.cli.definition" in loaded
    others = [name for name in loaded if not name.startswith("hybrid_executor.cli.tables")]
    assert others == ["hybrid_executor.cli.definition"]
