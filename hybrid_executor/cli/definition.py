"""The tables of ``airflow hybrid ...``: names, arguments, and where each command's body is.

Every ``airflow`` command imports this module, so bodies are named by path and loaded when they are called.
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
            "-q", "--queues", help="Queues to serve, separated by commas (default: default_queue of section operators)"
        ),
        _arg("-c", "--concurrency", help="Tasks at a time (default: worker_concurrency of section celery)", type=int),
        _arg("-H", "--celery-hostname", help="Name of the worker, where several share one host"),
        _arg("-a", "--autoscale", help="Most and fewest tasks at a time, as in 16,4"),
        _arg("-s", "--skip-serve-logs", help="Do not serve the logs of running tasks", action="store_true"),
        _arg("--without-mingle", help="Do not synchronise with other workers at start-up", action="store_true"),
        _arg("--without-gossip", help="Do not listen to other workers", action="store_true"),
        _arg("-D", "--daemon", help="Run in the background", action="store_true"),
        _arg("--pid", help="File of the process id"),
        _arg("-u", "--umask", help="umask of the background process"),
        _arg("--stdout", help="File that gets standard output in the background"),
        _arg("--stderr", help="File that gets standard error in the background"),
        _arg("-l", "--log-file", help="File that gets the log in the background"),
        _arg("-v", "--verbose", help="Log more", action="store_true"),
    ),
)
_WORKER_NAME = _arg("worker", help="Name of the worker, or of its host")
WORKERS = ActionCommand(
    name="workers",
    help="List workers: state, queues, what they run, and when they were last heard of",
    func=lazy_load_command("hybrid_executor.cli.workers_command.workers"),
    args=(_JSON,),
)
DRAIN = ActionCommand(
    name="drain",
    help="Have workers take no more work and give back what waits; what runs goes on, and they stay up",
    func=lazy_load_command("hybrid_executor.cli.workers_command.drain"),
    args=(
        _arg("worker", help="Name of the worker, or of its host", nargs="?"),
        _arg("--queue", help="All workers that serve this queue"),
        _arg("--wait", help="Return when nothing runs there any more", action="store_true"),
        _arg("--timeout", help="With --wait: give up after so many seconds, with exit code 1", type=float),
        _arg("--undo", help="Have them take work again", action="store_true"),
    ),
)
WORKER_STOP = ActionCommand(
    name="worker-stop",
    help="Have workers finish what they run and end, as SIGTERM does",
    func=lazy_load_command("hybrid_executor.cli.workers_command.stop"),
    args=(
        _arg("worker", help="Name of the worker, or of its host", nargs="?"),
        _arg("--all", help="All workers", action="store_true"),
    ),
)
WORKER_ADD_QUEUE = ActionCommand(
    name="worker-add-queue",
    help="Have a worker serve one more queue until it ends",
    func=lazy_load_command("hybrid_executor.cli.workers_command.add_queue"),
    args=(_WORKER_NAME, _arg("queue", help="The queue")),
)
WORKER_REMOVE_QUEUE = ActionCommand(
    name="worker-remove-queue",
    help="Have a worker serve a queue no longer until it ends",
    func=lazy_load_command("hybrid_executor.cli.workers_command.remove_queue"),
    args=(_WORKER_NAME, _arg("queue", help="The queue")),
)
WORKER_PROBE = ActionCommand(
    name="worker-probe",
    help="Exit with 0 if the workers of this host are well, with 1 if one is stuck or deaf or none is there",
    func=lazy_load_command("hybrid_executor.cli.worker_command.worker_probe"),
    args=(
        _arg("-H", "--celery-hostname", help="Name of the worker (default: all of this host)"),
        _arg("--seconds", help="How long it may be silent, stuck or deaf (default: 60)", type=float),
    ),
)
FLOWER = ActionCommand(
    name="flower",
    help="Run Flower, the monitor for Celery, on the workers of this executor",
    func=lazy_load_command("hybrid_executor.cli.flower_command.flower"),
    args=(
        _arg("-H", "--hostname", help="Address to listen on (default: flower_host of section celery)"),
        _arg("-p", "--port", help="Port to listen on (default: flower_port of section celery)", type=int),
        _arg("-c", "--flower-conf", help="Configuration file of Flower"),
        _arg("-u", "--url-prefix", help="Path it is served under (default: flower_url_prefix of section celery)"),
        _arg("-A", "--basic-auth", help="user:password pairs, by comma (default: flower_basic_auth of section celery)"),
        _arg("-a", "--broker-api", help="Address of the management API of RabbitMQ"),
    ),
)
AGENT = ActionCommand(
    name="agent",
    help="Run an agent: it launches and watches the pods of kubernetes queues",
    func=lazy_load_command("hybrid_executor.cli.agent_command.agent"),
    args=(
        _arg("--name", help="Name of the agent (default: host name and a random part)"),
        _arg("--parent-pid", help="Stop when the process with this id is gone", type=int),
    ),
)
SANDBOX = ActionCommand(
    name="sandbox",
    help="Run a small Kubernetes API on this machine whose pods are ordinary processes",
    func=lazy_load_command("hybrid_executor.cli.sandbox_command.sandbox"),
    args=(
        _arg("--port", help="Port on loopback (default: a free one)", type=int, default=0),
        _arg("--kubeconfig", help="Write the kubeconfig to this file (default: print it)"),
        _arg("--capacity", help="Pods that run at a time (default: no limit)", type=int),
    ),
)
STANDALONE = ActionCommand(
    name="standalone",
    help="Run everything on this machine: Airflow, Valkey, a worker and a small Kubernetes API",
    func=lazy_load_command("hybrid_executor.cli.standalone_command.standalone"),
    args=(
        _arg(
            "--port", help="Port of the UI (default: port of section api, or a free one where that is taken)", type=int
        ),
        _arg(
            "-q",
            "--queues",
            help="Queues of the worker, separated by commas (default: default_queue of section operators)",
        ),
        _arg("-c", "--concurrency", help="Tasks that the worker runs at a time (default: 4)", type=int, default=4),
    ),
)
DEMO = ActionCommand(
    name="demo",
    help="Run the examples on a whole Airflow in a temporary home and check where each task ran",
    func=lazy_load_command("hybrid_executor.cli.demo_command.demo"),
    args=(
        _arg("--dags", help="Folder of the DAGs to run (default: examples/dags of the source tree)"),
        _arg("--json", help="Write what happened to this file", metavar="FILE"),
        _arg("--keep", help="Leave the UI up at the end, until Ctrl-C", action="store_true"),
        _arg("--timeout", help="Seconds until unfinished runs count as failed (default: 240)", type=int, default=240),
        _arg("--port", help="Port of the UI (default: a free one)", type=int),
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
    help="Show where queues go, and why",
    func=lazy_load_command("hybrid_executor.cli.routes_command.routes"),
    args=(_arg("queues", help="Queues to look up (default: show all routes)", nargs="*", metavar="QUEUE"), _JSON),
)
CLEANUP_PODS = ActionCommand(
    name="cleanup-pods",
    help="Delete pods of tasks that ended, or that have been pending for too long",
    func=lazy_load_command("hybrid_executor.cli.cleanup_pods_command.cleanup_pods"),
    args=(
        _arg(
            "-n",
            "--namespace",
            help="Namespace to look at; may be given several times (default: all that routes lead to)",
            action="append",
        ),
        _arg(
            "--min-pending-minutes",
            help="Delete pods that have been pending for longer (default: 30, at least 5)",
            type=int,
            default=30,
        ),
        _arg(
            "--min-completed-minutes",
            help="Delete pods that ended longer ago (default: 1)",
            type=int,
            default=1,
        ),
        _arg("--any-airflow", help="Pods of any Airflow executor, not only of this instance", action="store_true"),
        _arg("--dry-run", help="Only show what would be deleted", action="store_true"),
        _arg("-v", "--verbose", help="Show the pods that are kept too", action="store_true"),
    ),
)
POD_YAML = ActionCommand(
    name="pod-yaml",
    help="Show the pods that a Dag's tasks would get, without creating any",
    func=lazy_load_command("hybrid_executor.cli.pod_yaml_command.pod_yaml"),
    args=(
        _arg("dag_id", help="The Dag, as Airflow's database has it"),
        _arg("task_id", help="The task (default: all tasks of the Dag)", nargs="?"),
        _arg("--map-index", help="Which of a mapped task's instances (default: 0)", type=int),
        _arg("--run-id", help="Run id to show in labels and workload (default: example-run)", default="example-run"),
        _arg("-o", "--output", help="Write to this file", metavar="FILE"),
        _arg("--check", help="Let the cluster check each pod too; it creates none", action="store_true"),
    ),
)


def get_hybrid_cli_commands() -> list[CLICommand]:
    """Return the one group that this provider adds to ``airflow``."""
    return [
        GroupCommand(
            name="hybrid",
            help="Run and look into the hybrid executor",
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
