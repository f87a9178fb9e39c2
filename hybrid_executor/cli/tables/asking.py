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
            help="Refresh every so many seconds (default: 2), until Ctrl-C",
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
TASKS = ActionCommand(
    name="tasks",
    help="List attempts that wait or run, with what they wait for; or those that ended lately, with the reason",
    func=lazy_load_command("hybrid_executor.cli.tasks_command.tasks"),
    args=(
        arg("--dag", help="Only this Dag", metavar="DAG"),
        arg("--run", help="Only this run", metavar="RUN"),
        arg("--task", help="Only this task", metavar="TASK"),
        arg("--queue", help="Only this queue", metavar="QUEUE"),
        arg("--pool", help="Only this pool: celery or kubernetes", metavar="POOL"),
        arg("--state", help="Only this state, such as submitted, pending or running", metavar="STATE"),
        arg("--older-than", help="Only those in their state for longer, such as 90s, 15m or 2h", metavar="DURATION"),
        arg("--failed", help="Those that failed, were lost or revoked", action="store_true"),
        arg("--ended", help="Also those that ended lately", action="store_true"),
        arg("--limit", help="Maximum number of lines (default: 100)", metavar="NUMBER", type=int, default=100),
        OUTPUT,
        JSON,
    ),
)
QUEUES = ActionCommand(
    name="queues",
    help="Show what waits and runs in each queue and who serves it (exit code 1: work waits and nobody serves it)",
    func=lazy_load_command("hybrid_executor.cli.queues_command.queues"),
    args=(OUTPUT, JSON),
)
EVENTS = ActionCommand(
    name="events",
    help="Print each change of an attempt's state as one line of JSON",
    func=lazy_load_command("hybrid_executor.cli.events_command.events"),
    args=(
        arg("-f", "--follow", help="Go on until Ctrl-C; begin now if --since is not given", action="store_true"),
        arg("--since", help="Begin this long ago, such as 90s, 15m or 2h (default: 10m)", metavar="DURATION"),
        arg(
            "-o",
            "--output",
            help="Format: json, yaml, table or plain (default: json)",
            choices=("json", "yaml", "table", "plain"),
            metavar="FORMAT",
            default="json",
        ),
    ),
)
