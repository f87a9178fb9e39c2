"""Commands that show something and change nothing."""

from __future__ import annotations

from airflow.cli.cli_config import ActionCommand, lazy_load_command

from hybrid_executor.cli.tables.arguments import JSON, OUTPUT, arg

STATUS = ActionCommand(
    name="status",
    help="Show workers, agents and live attempts by pool, queue and state",
    func=lazy_load_command("hybrid_executor.cli.status_command.status"),
    args=(OUTPUT, JSON),
)
WORKERS = ActionCommand(
    name="workers",
    help="List Celery workers with state, queues and running tasks",
    func=lazy_load_command("hybrid_executor.cli.workers_command.workers"),
    args=(OUTPUT, JSON),
)
ROUTES = ActionCommand(
    name="routes",
    help="Show the pool of each queue, and the route that decides",
    func=lazy_load_command("hybrid_executor.cli.routes_command.routes"),
    args=(arg("queues", help="Names of queues (default: show all routes)", nargs="*", metavar="QUEUE"), OUTPUT, JSON),
)
POD_YAML = ActionCommand(
    name="pod-yaml",
    help="Show the pods of a Dag's tasks; no pod is created",
    func=lazy_load_command("hybrid_executor.cli.pod_yaml_command.pod_yaml"),
    args=(
        arg("dag_id", help="Id of a Dag in Airflow's database"),
        arg("task_id", help="Id of a task (default: all tasks of the Dag)", nargs="?"),
        arg("--map-index", help="Map index of a mapped task (default: 0)", type=int),
        arg("--run-id", help="Run id in labels and workload (default: example-run)", default="example-run"),
        arg("-o", "--output", help="Write to this file", metavar="FILE"),
        arg("--check", help="Let the cluster check each pod (dry run)", action="store_true"),
    ),
)
