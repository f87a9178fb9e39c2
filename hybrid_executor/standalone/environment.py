"""The environment variables of the components: pure functions of their addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hybrid_executor.standalone.teams import TeamPlan, variable_of, without_team

SIMPLE_AUTH_MANAGER = "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
# Without bytecode, each component would compile all of Airflow again.
_DROPPED = frozenset({"PYTHONDONTWRITEBYTECODE"})
# A pod of a real cluster would not get these either: its task gets everything from the API server.
_NOT_FOR_PODS = frozenset(
    {
        "AIRFLOW__HYBRID_EXECUTOR__REDIS_URL",
        "AIRFLOW__HYBRID_EXECUTOR__REDIS_OPTIONS",
        "AIRFLOW__CELERY__BROKER_URL",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
        "AIRFLOW__API_AUTH__JWT_SECRET",
        "AIRFLOW__API__SECRET_KEY",
        "AIRFLOW__CORE__FERNET_KEY",
    }
)
_FOREIGN_PREFIXES = ("AIRFLOW", "KUBECONFIG", "KUBERNETES_")


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """The addresses of the components. The Redis URLs may hold a password.

    :ivar broker_url: "" if the configured broker is used.
    :ivar kubeconfig: ``None`` if the configured cluster is used.
    :ivar path: the path of the UI and the REST API, such as "/airflow"; "" for none.
    """

    api_port: int
    worker_log_port: int
    trigger_log_port: int
    redis_url: str = field(default="", repr=False)
    broker_url: str = field(default="", repr=False)
    kubeconfig: Path | None = None
    path: str = ""

    @property
    def base_url(self) -> str:
        """The address of the UI and the REST API."""
        return f"http://127.0.0.1:{self.api_port}{self.path}"


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return ``environment`` without variables that configure another Airflow or cluster."""
    return {name: value for name, value in environment.items() if not name.startswith(_FOREIGN_PREFIXES)}


def component_environment(
    base: Mapping[str, str],
    addresses: Addresses,
    *,
    executor: str,
    passwords_file: Path | None,
    options: Mapping[str, str],
    teams: Sequence[TeamPlan] = (),
) -> dict[str, str]:
    """Return the environment that every component gets.

    :param base: the environment to start from.
    :param passwords_file: file of the simple auth manager's passwords; ``None`` keeps the auth manager as it is.
    :param options: more variables, which win over all others.
    :param teams: get the same Redis and the same cluster unless they have their own.
    """
    told = {
        "PYTHONUNBUFFERED": "1",
        "AIRFLOW__CORE__EXECUTOR": executor,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{addresses.base_url}/execution/",
        "AIRFLOW__API__BASE_URL": addresses.base_url,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(addresses.api_port),
        "AIRFLOW__API__WORKERS": "1",
        # The executor waits for the end of a task instead: [hybrid_executor] event_wait.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": base.get("AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME", "0"),
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(addresses.worker_log_port),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(addresses.trigger_log_port),
    }
    if addresses.redis_url:
        told["AIRFLOW__HYBRID_EXECUTOR__REDIS_URL"] = addresses.redis_url
    if addresses.broker_url:
        told["AIRFLOW__CELERY__BROKER_URL"] = addresses.broker_url
    if addresses.kubeconfig:
        told["AIRFLOW__KUBERNETES_EXECUTOR__IN_CLUSTER"] = "False"
        told["AIRFLOW__KUBERNETES_EXECUTOR__CONFIG_FILE"] = str(addresses.kubeconfig)
    for team in teams:
        if team.redis is None and addresses.redis_url:
            told[variable_of(team.name, "AIRFLOW__HYBRID_EXECUTOR__REDIS_URL")] = addresses.redis_url
        if team.runs_sandbox and addresses.kubeconfig:
            told |= {variable_of(team.name, name): value for name, value in team.sandbox_options.items()}
            told[variable_of(team.name, "AIRFLOW__KUBERNETES_EXECUTOR__IN_CLUSTER")] = "False"
            told[variable_of(team.name, "AIRFLOW__KUBERNETES_EXECUTOR__CONFIG_FILE")] = str(addresses.kubeconfig)
    if passwords_file:
        told["AIRFLOW__CORE__AUTH_MANAGER"] = SIMPLE_AUTH_MANAGER
        told["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"] = str(passwords_file)
        told["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] = "admin:admin"
    kept = {name: value for name, value in base.items() if name not in _DROPPED}
    return {**kept, **told, **options}


def pod_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the part of the components' environment that the sandbox and its pods get."""
    return {name: value for name, value in environment.items() if without_team(name) not in _NOT_FOR_PODS}
