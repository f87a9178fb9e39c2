"""Commands that run a component until it is stopped."""

from __future__ import annotations

from airflow.cli.cli_config import ActionCommand, lazy_load_command

from hybrid_executor.cli.tables.arguments import arg

WORKER = ActionCommand(
    name="worker",
    help="Run a Celery worker of the hybrid executor",
    func=lazy_load_command("hybrid_executor.cli.worker_command.worker"),
    args=(
        arg(
            "-q", "--queues", help="Queues to serve, separated by commas (default: default_queue in section operators)"
        ),
        arg(
            "-c",
            "--concurrency",
            help="Number of tasks at a time (default: worker_concurrency in section celery)",
            type=int,
        ),
        arg("-H", "--celery-hostname", help="Name of the worker; needed for several workers on one host"),
        arg("-a", "--autoscale", help="Maximum and minimum number of tasks at a time, such as 16,4"),
        arg(
            "-s", "--skip-serve-logs", help="Do not start the server for the logs of running tasks", action="store_true"
        ),
        arg("--without-mingle", help="Do not exchange data with other workers at start", action="store_true"),
        arg("--without-gossip", help="Do not listen to events of other workers", action="store_true"),
        arg("-D", "--daemon", help="Run in the background", action="store_true"),
        arg("--pid", help="Write the process id to this file"),
        arg("-u", "--umask", help="With --daemon: umask of the process"),
        arg("--stdout", help="With --daemon: write standard output to this file"),
        arg("--stderr", help="With --daemon: write standard error to this file"),
        arg("-l", "--log-file", help="With --daemon: write the log to this file"),
        arg("-v", "--verbose", help="Write more log messages", action="store_true"),
    ),
)
WORKER_PROBE = ActionCommand(
    name="worker-probe",
    help="Check the health of the workers on this host (exit code 0 or 1)",
    func=lazy_load_command("hybrid_executor.cli.worker_command.worker_probe"),
    args=(
        arg("-H", "--celery-hostname", help="Name of the worker (default: all workers on this host)"),
        arg("--seconds", help="Seconds that a worker may be silent, stuck or deaf (default: 60)", type=float),
    ),
)
FLOWER = ActionCommand(
    name="flower",
    help="Run Flower, the monitor for Celery",
    func=lazy_load_command("hybrid_executor.cli.flower_command.flower"),
    args=(
        arg("-H", "--hostname", help="Address to listen on (default: flower_host in section celery)"),
        arg("-p", "--port", help="Port to listen on (default: flower_port in section celery)", type=int),
        arg("-c", "--flower-conf", help="Configuration file of Flower"),
        arg("-u", "--url-prefix", help="URL path (default: flower_url_prefix in section celery)"),
        arg(
            "-A",
            "--basic-auth",
            help="user:password pairs, separated by commas (default: flower_basic_auth in section celery)",
        ),
        arg("-a", "--broker-api", help="Address of RabbitMQ's management API"),
    ),
)
AGENT = ActionCommand(
    name="agent",
    help="Run an agent, which creates and watches pods",
    func=lazy_load_command("hybrid_executor.cli.agent_command.agent"),
    args=(
        arg("--name", help="Name of the agent (default: host name plus random characters)"),
        arg("--parent-pid", help="Stop when the process with this id has ended", type=int),
    ),
)
_IMAGES = (
    arg(
        "--missing-image",
        help="Images that no registry has, such as '*:typo'; may be given several times. Their pods show ErrImagePull",
        action="append",
        metavar="PATTERN",
    ),
    arg(
        "--failing-image",
        help="Images whose registry answers 503, such as 'registry.example.com/*'; may be given several times",
        action="append",
        metavar="PATTERN",
    ),
)
SANDBOX = ActionCommand(
    name="sandbox",
    help="Run a small Kubernetes API whose pods are processes of this machine",
    func=lazy_load_command("hybrid_executor.cli.sandbox_command.sandbox"),
    args=(
        arg("--port", help="Port on 127.0.0.1 (default: a free port)", type=int, default=0),
        arg("--kubeconfig", help="Write the kubeconfig to this file (default: print where it is)"),
        arg("--capacity", help="Pods that run at a time (default: 16)", type=int),
        *_IMAGES,
    ),
)
STANDALONE = ActionCommand(
    name="standalone",
    help="Run Airflow, Valkey, a worker and a small Kubernetes API on this machine",
    func=lazy_load_command("hybrid_executor.cli.standalone_command.standalone"),
    args=(
        arg("--port", help="Port of the UI (default: port in section api, or a free port)", type=int),
        arg(
            "-q",
            "--queues",
            help="Queues of the worker, separated by commas (default: from the routes)",
        ),
        arg(
            "-c",
            "--concurrency",
            help="Number of tasks that the worker runs at a time (default: 4)",
            type=int,
            default=4,
        ),
        arg("--quiet", help="Show the output of the components only in their log files", action="store_true"),
        *_IMAGES,
    ),
)
DEMO = ActionCommand(
    name="demo",
    help="Run the example DAGs on a whole Airflow and check where each task ran",
    func=lazy_load_command("hybrid_executor.cli.demo_command.demo"),
    args=(
        arg("--dags", help="Folder with DAGs to run (default: examples/dags of the source tree)"),
        arg("--json", help="Write the result as JSON to this file", metavar="FILE"),
        arg("--keep", help="Keep the UI running at the end, until Ctrl-C", action="store_true"),
        arg(
            "--timeout",
            help="Seconds after which unfinished runs count as failed (default: 240)",
            type=int,
            default=240,
        ),
        arg("--port", help="Port of the UI (default: a free port)", type=int),
        arg("-v", "--verbose", help="Show the logs of all components", action="store_true"),
    ),
)
SCALER = ActionCommand(
    name="scaler",
    help="Serve numbers for an autoscaler such as KEDA: slots that are needed by queue, pods to create by cluster",
    func=lazy_load_command("hybrid_executor.cli.scaler_command.scaler"),
    args=(
        arg("--host", help="Address to listen on (default: 127.0.0.1)", default="127.0.0.1"),
        arg("--port", help="Port to listen on (default: 8795)", type=int, default=8795),
        arg("--token-file", help="Answer only requests with the bearer token in this file", metavar="FILE"),
    ),
)
AGENT_PROBE = ActionCommand(
    name="agent-probe",
    help="Check the health of the agents on this host (exit code 0 or 1)",
    func=lazy_load_command("hybrid_executor.cli.agents_command.probe"),
    args=(
        arg("--name", help="Name of the agent (default: all agents on this host)"),
        arg("--seconds", help="Seconds that an agent may be silent or stuck (default: 60)", type=float),
    ),
)
