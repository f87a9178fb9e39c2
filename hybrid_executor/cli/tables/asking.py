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
MIGRATE = ActionCommand(
    name="migrate",
    help="Show what has to change to run a deployment of another executor on this one",
    description="Reads an airflow.cfg, environment variables, Dag files and pod templates of CeleryKubernetesExecutor, "
    "LocalKubernetesExecutor, CeleryExecutor, KubernetesExecutor or several executors, from Airflow 2.7 or newer. "
    "Without CONFIG and --env-file it reads the configuration of this process. Changes nothing without --write.",
    func=lazy_load_command("hybrid_executor.cli.migrate_command.migrate_deployment"),
    args=(
        arg("config", help="An airflow.cfg (default: the one in use)", nargs="?", metavar="CONFIG"),
        arg(
            "--env-file",
            help="File with variables such as AIRFLOW__CORE__EXECUTOR: .env, a Compose file, or values of a Helm chart",
            metavar="FILE",
        ),
        arg("--executor", help="The old executor, if no file names it", metavar="NAME"),
        arg("--dags", help="Folder of the Dag files (default: dags_folder in section core)", metavar="FOLDER"),
        arg("--template", help="A pod template; may be repeated", action="append", metavar="FILE"),
        arg("--redis-url", help="Redis or Valkey for the state, if none is configured", metavar="URL"),
        arg("--api-url", help="Where workers and pods reach the API server; it ends with /execution/", metavar="URL"),
        arg("--write", help="Write the changed files, beside backups of the old ones", action="store_true"),
        arg("--check", help="Exit with 1 if something has to change, for CI", action="store_true"),
        OUTPUT,
    ),
)
