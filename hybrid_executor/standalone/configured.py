"""Decides what ``airflow hybrid standalone`` starts: only the parts that are not configured elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from secrets import token_hex

from hybrid_executor.config import ConfigSource, Settings, read_settings, table
from hybrid_executor.config.broker import GENERATED_BROKER
from hybrid_executor.config.settings import Shape, has_address
from hybrid_executor.config.shape import read_configured_settings, shape_of
from hybrid_executor.config.teams import our_teams, words_of
from hybrid_executor.errors import ConfigError
from hybrid_executor.standalone.environment import SIMPLE_AUTH_MANAGER
from hybrid_executor.standalone.local_airflow import Plan
from hybrid_executor.standalone.teams import TeamPlan
from hybrid_executor.store import RedisSettings

HYBRID_EXECUTOR = "hybrid_executor.HybridExecutor"
_SHARED_SECRETS = (("core", "fernet_key"), ("api", "secret_key"), ("api_auth", "jwt_secret"))
_WILDCARDS = frozenset("*?[")
_GPU_QUEUES, _GPU_PROFILE = "gpu-*", "gpu"


def plan_standalone(
    conf: ConfigSource,
    environment: Mapping[str, str],
    *,
    home: Path,
    port: int | None,
    queues: str | None,
    concurrency: int,
    missing_images: tuple[str, ...] = (),
    failing_images: tuple[str, ...] = (),
    has_address: Callable[[str], bool] = has_address,
    conf_of: Callable[[str], ConfigSource] | None = None,
) -> Plan:
    """Return the plan: configured servers are used, and missing ones are started.

    :param home: Airflow's home.
    :param port: the wanted port; ``None`` for the configured one.
    :param queues: the worker's queues; ``None`` for those of the routes.
    :param missing_images: patterns of images that the sandbox's registries do not have.
    :param failing_images: patterns of images whose registry fails each time.
    :param has_address: returns whether a URL's host name can be resolved.
    :param conf_of: returns the configuration of a team.
    :raises ConfigError: a setting of this project is wrong, or an option is for the sandbox, which is not started.
    """
    executor = str(conf.get("core", "executor", fallback=HYBRID_EXECUTOR))
    shape = shape_of(executor)
    ours = our_teams(conf)
    teams = tuple(_plan_team(conf_of(team), environment) for team in ours if team) if conf_of is not None else ()
    is_global = "" in ours or not teams
    settings = read_settings(conf, shape=shape or "hybrid")
    routes = _routes(conf, settings, shape or "hybrid")
    redis = settings.redis
    has_broker = bool(settings.broker.url)
    if redis and redis.url == GENERATED_BROKER and not has_address(redis.url):
        redis, has_broker = None, False
    pools = settings.routes.pools if is_global else frozenset[str]()
    own_sandbox = "kubernetes" in pools and not has_cluster(conf, environment)
    runs_sandbox = own_sandbox or any(team.runs_sandbox for team in teams)
    if (missing_images or failing_images) and not runs_sandbox:
        raise ConfigError(
            "--missing-image and --failing-image are for the sandbox, and this Airflow does not start one: "
            + ("a cluster is configured." if "kubernetes" in pools else "no route goes to kubernetes.")
            + " Leave them out."
        )
    return Plan(
        state_dir=home / "hybrid",
        environment=environment,
        executor=executor if shape or ours else HYBRID_EXECUTOR,
        options={
            **routes,
            **_shared_secrets(conf),
            **_kept(conf),
            **_patience(conf),
            **(sandbox_image(conf) if own_sandbox else {}),
        },
        instance=settings.instance,
        redis=RedisSettings(url=redis.url, options=redis.options) if redis else None,
        uses_our_broker=not has_broker,
        runs_sandbox=runs_sandbox,
        worker_queues=_worker_queues(settings, conf, queues) if "celery" in pools else None,
        teams=teams,
        worker_concurrency=concurrency,
        missing_images=missing_images,
        failing_images=failing_images,
        port=port or int(conf.get("api", "port", fallback=8080)),
        has_own_login=_has_simple_login(conf),
    )


def _plan_team(conf: ConfigSource, environment: Mapping[str, str]) -> TeamPlan:
    """Return what to run for a team: a worker if it has queues for one, on its own Redis if it has one."""
    with words_of(conf.team):
        settings = read_configured_settings(conf)
    pools, redis = settings.routes.pools, settings.redis
    runs_sandbox = "kubernetes" in pools and not has_cluster(conf, environment)
    return TeamPlan(
        name=conf.team,
        instance=settings.instance,
        redis=RedisSettings(url=redis.url, options=redis.options) if redis else None,
        worker_queues=_worker_queues(settings, conf, None) if "celery" in pools else None,
        runs_sandbox=runs_sandbox,
        sandbox_options=sandbox_image(conf) if runs_sandbox else {},
    )


def has_cluster(conf: ConfigSource, environment: Mapping[str, str]) -> bool:
    """Return whether a Kubernetes cluster is configured."""
    if conf.get("kubernetes_executor", "config_file", fallback="") or environment.get("KUBECONFIG"):
        return True
    wants_in_cluster = str(conf.get("kubernetes_executor", "in_cluster", fallback="True")).lower() in ("true", "1", "t")
    return wants_in_cluster and "KUBERNETES_SERVICE_HOST" in environment


def sandbox_image(conf: ConfigSource) -> dict[str, str]:
    """Return an image for pods if none is configured; the sandbox runs this interpreter for every image."""
    section = "kubernetes_executor"
    if any(conf.get(section, key, fallback="") for key in ("worker_container_repository", "pod_template_file")):
        return {}
    return {
        "AIRFLOW__KUBERNETES_EXECUTOR__WORKER_CONTAINER_REPOSITORY": "apache/airflow",
        "AIRFLOW__KUBERNETES_EXECUTOR__WORKER_CONTAINER_TAG": metadata.version("apache-airflow-core"),
    }


def _routes(conf: ConfigSource, settings: Settings, shape: Shape) -> dict[str, str]:
    """Return the routes if none are configured: the defaults, and also ``gpu-*`` to pods, as in the README.

    The pods of ``gpu-*`` have the profile ``gpu`` if it exists.
    """
    if shape == "kubernetes" or table.ROUTES.read(conf):
        return {}
    if settings.routes.find(_GPU_QUEUES).pool == "kubernetes":
        return {}
    pods = next(route.pattern for route in settings.routes.routes if route.pool == "kubernetes")
    profile = f":{_GPU_PROFILE}" if _GPU_PROFILE in settings.profiles else ""
    rest = "local" if shape == "local_kubernetes" else "celery"
    routes = f"{pods}=kubernetes, {_GPU_QUEUES}=kubernetes{profile}, *={rest}"
    return {"AIRFLOW__HYBRID_EXECUTOR__ROUTES": routes}


def _worker_queues(settings: Settings, conf: ConfigSource, queues: str | None) -> str:
    if queues:
        return queues
    default = str(conf.get("operators", "default_queue", fallback="default"))
    named = [route.pattern for route in settings.routes.routes if route.reaches("celery")]
    return ",".join(dict.fromkeys([default, *(name for name in named if not _WILDCARDS & set(name))]))


def _shared_secrets(conf: ConfigSource) -> dict[str, str]:
    """Return the secrets that all components share, so that no component generates its own.

    A configuration of Airflow 2 has no secret for tokens: then each component would refuse the tokens of the others.
    """
    if conf.get("api_auth", "jwt_private_key_path", fallback=None):
        shared: tuple[tuple[str, str], ...] = _SHARED_SECRETS[:-1]
    else:
        shared = _SHARED_SECRETS
    values = {f"AIRFLOW__{section}__{key}".upper(): conf.get(section, key, fallback="") for section, key in shared}
    if "AIRFLOW__API_AUTH__JWT_SECRET" in values and not values["AIRFLOW__API_AUTH__JWT_SECRET"]:
        values["AIRFLOW__API_AUTH__JWT_SECRET"] = token_hex(32)
    return {name: str(value) for name, value in values.items() if value}


def _patience(conf: ConfigSource) -> dict[str, str]:
    """Return a longer time for Airflow's API server to answer where the time is Airflow's own of 5 s.

    All components share this machine. When many tasks start at once, 5 s are too short, and the tasks would fail.
    """
    is_set = float(conf.get("workers", "execution_api_timeout", fallback=5.0)) != 5.0
    return {} if is_set else {"AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60"}


def _kept(conf: ConfigSource) -> dict[str, str]:
    """Return configured values that would otherwise be replaced by our own addresses."""
    url = conf.get("core", "execution_api_server_url", fallback="")
    return {"AIRFLOW__CORE__EXECUTION_API_SERVER_URL": str(url)} if url else {}


def _has_simple_login(conf: ConfigSource) -> bool:
    manager = str(conf.get("core", "auth_manager", fallback=SIMPLE_AUTH_MANAGER))
    users = str(conf.get("core", "simple_auth_manager_users", fallback="admin:admin"))
    is_open = str(conf.get("core", "simple_auth_manager_all_admins", fallback="False")).lower() == "true"
    return manager == SIMPLE_AUTH_MANAGER and users == "admin:admin" and not is_open
