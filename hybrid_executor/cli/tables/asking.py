"""Commands that show something and change nothing."""

from __future__ import annotations

from airflow.cli.cli_config import ActionCommand, lazy_load_command

from hybrid_executor.cli.tables.arguments import JSON, OUTPUT, arg

STATUS = ActionCommand(
    name="status",
    help="Show what is wrong and what to do, then all components, pools, queues and clusters (exit code 1: a failure)",
    func=lazy_load_command("hybrid_executor.cli.status_command.status"),
    args=(
        arg(
            "-w",
            "--watch",
            help="Show it again and again, after so many seconds (default: 2), until Ctrl-C",
            metavar="SECONDS",
            nargs="?",
            type=float,
            default=0.0,
        ),
        OUTPUT,
        JSON,
    ),
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
    description="Exit code with --dags: 1 if a Dag file cannot be read or a task has a warning.",
    args=(
        arg("queues", help="Names of queues (default: show all routes)", nargs="*", metavar="QUEUE"),
        arg("--dags", help="Show where each task of the Dags on disk goes; runs the Dag files", action="store_true"),
        OUTPUT,
        JSON,
    ),
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
WHY = ActionCommand(
    name="why",
    help="Tell why a task waits or how it ended, and what to do (exit code 1: it failed)",
    func=lazy_load_command("hybrid_executor.cli.why_command.why"),
    args=(
        arg("dag_id", help="Id of a Dag; or, without a task, the id of an attempt", metavar="DAG_OR_ATTEMPT"),
        arg("task_id", help="Id of a task", nargs="?", metavar="TASK"),
        arg("run_id", help="Id of a run (default: the newest run that has the task)", nargs="?", metavar="RUN"),
        arg("--map-index", help="Map index of a mapped task (default: one that waits)", type=int, default=-1),
        OUTPUT,
        JSON,
    ),
)
DOCTOR = ActionCommand(
    name="doctor",
    help="Examine the whole deployment and tell how to cure each problem (exit code 1: a failure)",
    func=lazy_load_command("hybrid_executor.cli.doctor_command.doctor"),
    args=(
        arg(
            "parts",
            help="Parts to examine: redis, kubernetes, airflow, workers (default: all)",
            nargs="*",
            metavar="PART",
        ),
        arg("-q", "--quiet", help="Show only what is not ok", action="store_true"),
        arg("--strict", help="Exit with 1 for warnings too", action="store_true"),
        OUTPUT,
        JSON,
    ),
)
