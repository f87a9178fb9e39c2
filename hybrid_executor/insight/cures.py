"""What to do about an attempt that cannot start or that failed, by the category that its record has. Pure tables.

Categories of pods are those of ``kube.causes``, those of workers are in ``hybrid_workers.ending``, the others in the
launcher and in the executor. A category without a line here has a reason that says what to do.
"""

from __future__ import annotations

_IMAGE = (
    "Correct the image in executor_config, profile or pod template ('airflow hybrid pod-yaml DAG TASK' shows the pod), "
    "or give the pod the right to pull it (imagePullSecrets). Then clear the task."
)
_CURES = {
    # Pods.
    "pending": "Wait. If it lasts, look at the node: kubectl describe pod.",
    "unschedulable": "Give the cluster room (another node, the autoscaler), or ask for less in executor_config, "
    "profile or pod template; check node selector, affinity and tolerations.",
    "image_pull": _IMAGE,
    "image_invalid": _IMAGE,
    "config_error": "Create the config map, secret or key that the pod names, or correct its name.",
    "start_error": "Correct what the pod starts: command, mounts, security context. kubectl describe pod shows more.",
    "crash_loop": "Look at the container's log: kubectl logs --previous.",
    "init_failed": "Look at the init container's log: kubectl logs -c NAME.",
    "oom_killed": "Give the task more memory: limits in executor_config, profile or pod template for a pod; for a "
    "worker its own limit, or a smaller concurrency. Or let the task use less.",
    "oom": "Give the worker more memory, or a smaller concurrency.",
    "deadline_exceeded": "Raise activeDeadlineSeconds in the pod template, or make the task shorter.",
    "evicted": "The node ran short of memory or disk: set requests that fit what the task uses.",
    "preempted": "Give the pod a higher priorityClassName, or give the cluster more room.",
    "node_lost": "Look at the node. With retries the task runs again elsewhere.",
    "node_shutdown": "Look at the node. With retries the task runs again elsewhere.",
    "node_refused": "Look at the node: it refused the pod (kubectl describe pod).",
    "provider_failed": "Look at the provider of the node.",
    "vanished": "Find out who deleted the pod while no agent lived: kubectl delete, a controller or a job that cleans "
    "up.",
    "deleted": "Find out who deleted the pod: kubectl delete, a controller or a job that cleans up.",
    "deleted_before_start": "Find out who deleted the pod: kubectl delete, a controller or a job that cleans up.",
    "not_handed_over": "See the log of the agents: why they could not attach to the warm pod. docs/warm-pods.md says "
    "what they need.",
    "unlabelled": "Find out what changes the pod's labels, and exclude pods with the label hybrid-executor/instance.",
    # Launches.
    "rejected": "Correct the task's executor_config, profile, pod template or pod_mutation_hook as the reason says "
    "('airflow hybrid pod-yaml DAG TASK --check' tries it), then clear the task.",
    "expired": "It waited longer than its token is valid. Remove what made it wait, or raise [scheduler] "
    "task_queued_timeout; then clear the task.",
    "workload_lost": "Find out why Redis lost data (restart, FLUSHALL, eviction), then clear the task.",
    "unavailable": "Look at the cluster's API server, then clear the task.",
    # Workers.
    "worker_lost": "Find out why the worker ended (memory, node, kill); with retries the task runs again.",
    "duplicate": "Airflow's API server answered late, and counted its start after its process had given up. Look at "
    "the load of the API server, or raise [workers] execution_api_timeout. With retries the task runs again.",
    "worker_stopped": "The worker was stopped while it ran the task; with retries it runs again. Drain workers before "
    "you stop them: airflow hybrid drain WORKER --wait.",
    "ended_by_airflow": "Airflow's audit log says who marked or cleared it.",
    "signal": "Find out what killed the task's process on the worker (its log, the kernel's log).",
    "time_limit": "Raise the worker's time limit ([celery] task_time_limit), or make the task shorter.",
    "api_unreachable": "Let the worker reach Airflow's API server: [core] execution_api_server_url must be an address "
    "that the worker can use.",
    "refused": "If it had waited for long, its token has expired: start more workers, or raise [scheduler] "
    "task_queued_timeout. Else make [api_auth] jwt_secret the same everywhere and check the clocks. Clear the task.",
    "bad_message": "Run the same release of airflow-hybrid-executor and of Airflow on schedulers and workers.",
    "exit_code": "See the task's log.",
    "exit_nonzero": "See the task's log.",
    "unawaited": "Airflow's audit log says who skipped, marked or cleared it, or ended its Dag run.",
    "revoked": "Somebody or Airflow took the attempt back. Clear the task to run it again.",
}
_QUOTA = (
    "It starts when pods of the namespace end. Or raise the quota (kubectl describe resourcequota), or ask for less in "
    "executor_config, profile or pod template."
)


def cure_for(category: str, words: str = "") -> str:
    """Return what to do about a category, "" if its reason says that already.

    :param words: the record's note or reason, which tells a quota from other refusals.
    """
    if "waiting for quota" in words.lower():
        return _QUOTA
    return _CURES.get(category, "")
