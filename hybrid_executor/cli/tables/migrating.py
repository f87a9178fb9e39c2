"""The command that helps to come from another executor."""

from __future__ import annotations

from airflow.cli.cli_config import ActionCommand, lazy_load_command

from hybrid_executor.cli.tables.arguments import OUTPUT, arg

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
