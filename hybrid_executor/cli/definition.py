"""The commands of ``airflow hybrid ...``: names, arguments, and the import path of each command's function.

Every ``airflow`` command imports this module. So it only names the functions; they are imported when they are called.
Help texts are Rich markup: write "in section celery", since "[celery]" would be taken for markup and vanish.
"""

from __future__ import annotations

from typing import Any

from airflow.cli.cli_config import ActionCommand, Arg, CLICommand, GroupCommand, lazy_load_command


def _arg(*flags: str, **keywords: Any) -> Arg:
    make: Any = Arg
    argument: Arg = make(flags, **keywords)
    return argument


_JSON = _arg("--json", help="Print JSON instead of a table", action="store_true")

WORKER = ActionCommand(
    name="worker",
    help="Run a Celery worker of the hybrid executor",
    func=lazy_load_command("hybrid_executor.cli.worker_command.worker"),
    args=(
        _arg(
            "-q", "--queues", help="Queues to serve, separated by commas (default: default_queue in section operators)"
        ),
        _arg(
            "-c",
            "--concurrency",
            help="Number of tasks at a time (default: worker_concurrency in section celery)",
            type=int,
        ),
        _arg("-H", "--celery-hostname", help="Name of the worker; needed for several workers on one host"),
        _arg("-a", "--autoscale", help="Maximum and minimum number of tasks at a time, such as 16,4"),
        _arg(
            "-s", "--skip-serve-logs", help="Do not start the server for the logs of running tasks", action="store_true"
        ),
        _arg("--without-mingle", help="Do not exchange data with other workers at start", action="store_true"),
        _arg("--without-gossip", help="Do not listen to events of other workers", action="store_true"),
        _arg("-D", "--daemon", help="Run in the background", action="store_true"),
        _arg("--pid", help="Write the process id to this file"),
        _arg("-u", "--umask", help="With --daemon: umask of the process"),
        _arg("--stdout", help="With --daemon: write standard output to this file"),
        _arg("--stderr", help="With --daemon: write standard error to this file"),
        _arg("-l", "--log-file", help="With --daemon: write the log to this file"),
        _arg("-v", "--verbose", help="Write more log messages", action="store_true"),
    ),
)
_WORKER_NAME = _arg("worker", help="Name of a worker, or the name of its host")
WORKERS = ActionCommand(
    name="workers",
    help="List Celery workers with state, queues and running tasks",
    func=lazy_load_command("hybrid_executor.cli.workers_command.workers"),
    args=(_JSON,),
)
DRAIN = ActionCommand(
    name="drain",
    help="Stop workers from taking new tasks; running tasks continue",
    func=lazy_load_command("hybrid_executor.cli.workers_command.drain"),
    args=(
        _arg("worker", help="Name of a worker, or the name of its host", nargs="?"),
        _arg("--queue", help="Select all workers that serve this queue"),
        _arg("--wait", help="Wait until no task runs on these workers", action="store_true"),
        _arg("--timeout", help="With --wait: stop waiting after this many seconds (exit code 1)", type=float),
        _arg("--undo", help="Let the workers take tasks again", action="store_true"),
    ),
)
WORKER_STOP = ActionCommand(
    name="worker-stop",
    help="Stop workers after their running tasks have ended, like SIGTERM",
    func=lazy_load_command("hybrid_executor.cli.workers_command.stop"),
    args=(
        _arg("worker", help="Name of a worker, or the name of its host", nargs="?"),
        _arg("--all", help="Select all workers", action="store_true"),
    ),
)
WORKER_ADD_QUEUE = ActionCommand(
    name="worker-add-queue",
    help="Let a worker serve one more queue, until the worker stops",
    func=lazy_load_command("hybrid_executor.cli.workers_command.add_queue"),
    args=(_WORKER_NAME, _arg("queue", help="Name of the queue")),
)
WORKER_REMOVE_QUEUE = ActionCommand(
    name="worker-remove-queue",
    help="Let a worker stop serving a queue, until the worker stops",
    func=lazy_load_command("hybrid_executor.cli.workers_command.remove_queue"),
    args=(_WORKER_NAME, _arg("queue", help="Name of the queue")),
)
WORKER_PROBE = ActionCommand(
    name="worker-probe",
    help="Check the health of the workers on this host (exit code 0 or 1)",
    func=lazy_load_command("hybrid_executor.cli.worker_command.worker_probe"),
    args=(
        _arg("-H", "--celery-hostname", help="Name of the worker (default: all workers on this host)"),
        _arg("--seconds", help="Seconds that a worker may be silent, stuck or deaf (default: 60)", type=float),
    ),
)
FLOWER = ActionCommand(
    name="flower",
    help="Run Flower, the monitor for Celery",
    func=lazy_load_command("hybrid_executor.cli.flower_command.flower"),
    args=(
        _arg("-H", "--hostname", help="Address to listen on (default: flower_host in section celery)"),
        _arg("-p", "--port", help="Port to listen on (default: flower_port in section celery)", type=int),
        _arg("-c", "--flower-conf", help="Configuration file of Flower"),
        _arg("-u", "--url-prefix", help="URL path (default: flower_url_prefix in section celery)"),
        _arg(
            "-A",
            "--basic-auth",
            help="user:password pairs, separated by commas (default: flower_basic_auth in section celery)",
        ),
        _arg("-a", "--broker-api", help="Address of RabbitMQ's management API"),
    ),
)
AGENT = ActionCommand(
    name="agent",
    help="Run an agent, which creates and watches pods",
    func=lazy_load_command("hybrid_executor.cli.agent_command.agent"),
    args=(
        _arg("--name", help="Name of the agent (default: host name plus random characters)"),
        _arg("--parent-pid", help="Stop when the process with this id has ended", type=int),
    ),
)
SANDBOX = ActionCommand(
    name="sandbox",
    help="Run a small Kubernetes API whose pods are processes of this machine",
    func=lazy_load_command("hybrid_executor.cli.sandbox_command.sandbox"),
    args=(
        _arg("--port", help="Port on 127.0.0.1 (default: a free port)", type=int, default=0),
        _arg("--kubeconfig", help="Write the kubeconfig to this file (default: print where it is)"),
        _arg("--capacity", help="Pods that run at a time (default: no limit)", type=int),
    ),
)
STANDALONE = ActionCommand(
    name="standalone",
    help="Run Airflow, Valkey, a worker and a small Kubernetes API on this machine",
    func=lazy_load_command("hybrid_executor.cli.standalone_command.standalone"),
    args=(
        _arg("--port", help="Port of the UI (default: port in section api, or a free port)", type=int),
        _arg(
            "-q",
            "--queues",
            help="Queues of the worker, separated by commas (default: from the routes)",
        ),
        _arg(
            "-c",
            "--concurrency",
            help="Number of tasks that the worker runs at a time (default: 4)",
            type=int,
            default=4,
        ),
    ),
)
DEMO = ActionCommand(
    name="demo",
    help="Run the example DAGs on a whole Airflow and check where each task ran",
    func=lazy_load_command("hybrid_executor.cli.demo_command.demo"),
    args=(
        _arg("--dags", help="Folder with DAGs to run (default: examples/dags of the source tree)"),
        _arg("--json", help="Write the result as JSON to this file", metavar="FILE"),
        _arg("--keep", help="Keep the UI running at the end, until Ctrl-C", action="store_true"),
        _arg(
            "--timeout",
            help="Seconds after which unfinished runs count as failed (default: 240)",
            type=int,
            default=240,
        ),
        _arg("--port", help="Port of the UI (default: a free port)", type=int),
        _arg("-v", "--verbose", help="Show the logs of all components", action="store_true"),
    ),
)
STATUS = ActionCommand(
    name="status",
    help="Show workers, agents and live attempts by pool, queue and state",
    func=lazy_load_command("hybrid_executor.cli.status_command.status"),
    args=(_JSON,),
)
ROUTES = ActionCommand(
    name="routes",
    help="Show the pool of each queue, and the route that decides",
    func=lazy_load_command("hybrid_executor.cli.routes_command.routes"),
    args=(_arg("queues", help="Names of queues (default: show all routes)", nargs="*", metavar="QUEUE"), _JSON),
)
CLEANUP_PODS = ActionCommand(
    name="cleanup-pods",
    help="Delete leftover pods: ended, or pending for too long",
    func=lazy_load_command("hybrid_executor.cli.cleanup_pods_command.cleanup_pods"),
    args=(
        _arg(
            "-n",
            "--namespace",
            help="Namespace; may be repeated (default: all namespaces of the routes)",
            action="append",
        ),
        _arg(
            "--min-pending-minutes",
            help="Delete pods that are pending for longer (default: 30, minimum: 5)",
            type=int,
            default=30,
        ),
        _arg(
            "--min-completed-minutes",
            help="Delete pods that ended before this time (default: 1)",
            type=int,
            default=1,
        ),
        _arg(
            "--any-airflow",
            help="Delete pods of every Airflow executor, not only of this instance",
            action="store_true",
        ),
        _arg("--dry-run", help="Show the pods, but delete none", action="store_true"),
        _arg("-v", "--verbose", help="Show also the pods that are kept", action="store_true"),
    ),
)
POD_YAML = ActionCommand(
    name="pod-yaml",
    help="Show the pods of a Dag's tasks; no pod is created",
    func=lazy_load_command("hybrid_executor.cli.pod_yaml_command.pod_yaml"),
    args=(
        _arg("dag_id", help="Id of a Dag in Airflow's database"),
        _arg("task_id", help="Id of a task (default: all tasks of the Dag)", nargs="?"),
        _arg("--map-index", help="Map index of a mapped task (default: 0)", type=int),
        _arg("--run-id", help="Run id in labels and workload (default: example-run)", default="example-run"),
        _arg("-o", "--output", help="Write to this file", metavar="FILE"),
        _arg("--check", help="Let the cluster check each pod (dry run)", action="store_true"),
    ),
)


def get_hybrid_cli_commands() -> list[CLICommand]:
    """Return the one group that this provider adds to ``airflow``."""
    return [
        GroupCommand(
            name="hybrid",
            help="Commands of the hybrid executor",
            subcommands=(
                WORKER,
                WORKERS,
                DRAIN,
                WORKER_STOP,
                WORKER_ADD_QUEUE,
                WORKER_REMOVE_QUEUE,
                WORKER_PROBE,
                FLOWER,
                AGENT,
                SANDBOX,
                STANDALONE,
                DEMO,
                STATUS,
                ROUTES,
                CLEANUP_PODS,
                POD_YAML,
            ),
        )
    ]
