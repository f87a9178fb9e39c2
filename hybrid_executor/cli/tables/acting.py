"""Commands that change something."""

from __future__ import annotations

from airflow.cli.cli_config import ActionCommand, lazy_load_command

from hybrid_executor.cli.tables.arguments import DRY_RUN, JSON, OUTPUT, WORKER_NAME, arg

DRAIN = ActionCommand(
    name="drain",
    help="Stop workers from taking new tasks; running tasks continue",
    func=lazy_load_command("hybrid_executor.cli.workers_command.drain"),
    args=(
        arg("worker", help="Name of a worker, or the name of its host", nargs="?"),
        arg("--queue", help="Select all workers that serve this queue"),
        arg("--wait", help="Wait until no task runs on these workers", action="store_true"),
        arg("--timeout", help="With --wait: stop waiting after this many seconds (exit code 1)", type=float),
        arg("--undo", help="Let the workers take tasks again", action="store_true"),
    ),
)
WORKER_STOP = ActionCommand(
    name="worker-stop",
    help="Stop workers after their running tasks have ended, like SIGTERM",
    func=lazy_load_command("hybrid_executor.cli.workers_command.stop"),
    args=(
        arg("worker", help="Name of a worker, or the name of its host", nargs="?"),
        arg("--all", help="Select all workers", action="store_true"),
    ),
)
WORKER_ADD_QUEUE = ActionCommand(
    name="worker-add-queue",
    help="Let a worker serve one more queue, until the worker stops",
    func=lazy_load_command("hybrid_executor.cli.workers_command.add_queue"),
    args=(WORKER_NAME, arg("queue", help="Name of the queue")),
)
WORKER_REMOVE_QUEUE = ActionCommand(
    name="worker-remove-queue",
    help="Let a worker stop serving a queue, until the worker stops",
    func=lazy_load_command("hybrid_executor.cli.workers_command.remove_queue"),
    args=(WORKER_NAME, arg("queue", help="Name of the queue")),
)
CLEANUP_PODS = ActionCommand(
    name="cleanup-pods",
    help="Delete leftover pods: ended, or pending for too long",
    func=lazy_load_command("hybrid_executor.cli.cleanup_pods_command.cleanup_pods"),
    args=(
        arg(
            "-n",
            "--namespace",
            help="Namespace; may be repeated (default: all namespaces of the routes)",
            action="append",
        ),
        arg(
            "--min-pending-minutes",
            help="Delete pods that are pending for longer (default: 30, minimum: 5)",
            type=int,
            default=30,
        ),
        arg(
            "--min-completed-minutes",
            help="Delete pods that ended before this time (default: 1)",
            type=int,
            default=1,
        ),
        arg(
            "--any-airflow",
            help="Delete pods of every Airflow executor, not only of this instance",
            action="store_true",
        ),
        arg("--dry-run", help="Show the pods, but delete none", action="store_true"),
        arg("-v", "--verbose", help="Show also the pods that are kept", action="store_true"),
    ),
)
AGENT_DRAIN = ActionCommand(
    name="agent-drain",
    help="Stop agents from taking new launches; they watch until others do",
    func=lazy_load_command("hybrid_executor.cli.agents_command.drain"),
    args=(
        arg("agent", help="Name of an agent, or the name of its host (default: the only one)", nargs="?"),
        arg("--all", help="Select all agents", action="store_true"),
        arg("--wait", help="Wait until no launch is under way and others watch", action="store_true"),
        arg("--timeout", help="With --wait: stop waiting after this many seconds (exit code 1)", type=float),
        arg("--undo", help="Let the agents launch again", action="store_true"),
    ),
)
REVOKE = ActionCommand(
    name="revoke",
    help="Keep attempts from running: remove messages and pods",
    description="Shows what happens to each task in Airflow, asks, and revokes. Exit code 1: one was not revoked.",
    func=lazy_load_command("hybrid_executor.cli.attempts_command.revoke"),
    args=(
        arg("attempts", help="Ids of attempts", nargs="*", metavar="ATTEMPT"),
        arg("--dag", help="Select the live attempts of this Dag"),
        arg("--task", help="With --dag: only those of this task"),
        arg("--run", help="With --dag: only those of this run"),
        arg("-y", "--yes", help="Do not ask", action="store_true"),
        DRY_RUN,
        OUTPUT,
        JSON,
    ),
)
FORGET = ActionCommand(
    name="forget",
    help="Delete the records of attempts that have ended or that nobody waits for",
    description="Attempts that are alive are kept, and it is said what would break. Exit code 1: one was kept.",
    func=lazy_load_command("hybrid_executor.cli.attempts_command.forget"),
    args=(
        arg("attempts", help="Ids of attempts", nargs="+", metavar="ATTEMPT"),
        arg("--force", help="Delete also the records of live attempts", action="store_true"),
        DRY_RUN,
        OUTPUT,
        JSON,
    ),
)
RECONCILE = ActionCommand(
    name="reconcile",
    help="Compare Redis, Airflow and the clusters, and repair what is safe",
    description="Exit code 0: no difference is left. 1: there is one. 2: something could not be asked.",
    func=lazy_load_command("hybrid_executor.cli.reconcile_command.reconcile"),
    args=(
        DRY_RUN,
        arg(
            "--timeout",
            help="Seconds to wait for repairs of schedulers and agents (default: 30)",
            type=float,
            default=30.0,
        ),
        OUTPUT,
        JSON,
    ),
)
