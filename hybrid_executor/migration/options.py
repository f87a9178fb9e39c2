"""The options that change because of the executor, and what becomes of all others in its sections. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hybrid_executor.config import table
from hybrid_executor.config.broker import GENERATED_BROKER
from hybrid_executor.config.celery import read_celery_settings
from hybrid_executor.config.celery_table import CELERY_OPTIONS, TRANSPORT_SECTION, UPSTREAM_CONFIG, WITHOUT_EFFECT
from hybrid_executor.config.kubernetes import read_kubernetes_settings
from hybrid_executor.config.kubernetes_table import KUBERNETES_OPTIONS
from hybrid_executor.config.options import ConfigSource, Option
from hybrid_executor.config.redis_url import is_redis_url
from hybrid_executor.config.settings import Settings, read_settings
from hybrid_executor.config.shape import shape_of
from hybrid_executor.errors import ConfigError
from hybrid_executor.migration.configuration import Configuration
from hybrid_executor.migration.finding import Finding
from hybrid_executor.migration.plan import HYBRID, Plan

UNKNOWN_REDIS = "redis://REDIS-HOST:6379/0"
_TABLES: tuple[tuple[str, tuple[Option, ...]], ...] = (
    ("celery", CELERY_OPTIONS),
    ("kubernetes_executor", KUBERNETES_OPTIONS),
)
_HAS_NO_EFFECT = "has no effect"


def set_executor(
    old: Configuration, plan: Plan, *, before: str, redis_url: str | None
) -> tuple[Configuration, list[Finding]]:
    """Return the configuration with our executor, its routes and its Redis.

    :param before: the old executor.
    :param redis_url: the Redis to use where none is configured; ``None`` if it is not known.
    """
    changed = old.set("core", "executor", plan.executor)
    findings = [
        Finding(
            kind="change",
            subject="[core] executor",
            what=before,
            instead=plan.executor,
            why="one executor replaces " + " and ".join(entry.text for entry in plan.replaced),
            documented="README.md",
        )
    ]
    if plan.routes and old.get(table.SECTION, "routes"):
        findings.append(_keep_routes(old))
    elif plan.routes:
        # Without spaces, a variable needs no quotes in any of the forms that files with variables have.
        is_variable = old.place_of("core", "executor") == "environment"
        routes = plan.routes.replace(", ", ",") if is_variable else plan.routes
        changed = changed.set(table.SECTION, "routes", routes)
        findings.append(
            Finding(
                kind="change",
                subject="[hybrid_executor] routes",
                what="not set: queue 'kubernetes' would go to pods, and all others to workers",
                instead=plan.routes,
                why="each task keeps the place where it runs now",
                documented="docs/routing.md#routes",
            )
        )
    changed, redis = _set_redis(changed, plan, redis_url)
    return changed, findings + redis


def _keep_routes(old: Configuration) -> Finding:
    return Finding(
        kind="kept",
        subject="[hybrid_executor] routes",
        what=f"{old.get(table.SECTION, 'routes')}: set already, and not changed",
        documented="docs/routing.md#routes",
    )


def _set_redis(configuration: Configuration, plan: Plan, redis_url: str | None) -> tuple[Configuration, list[Finding]]:
    subject = "[hybrid_executor] redis_url"
    if configuration.place_of(table.SECTION, "redis_url"):
        return configuration, []
    uses_broker = plan.class_path == HYBRID
    broker = (configuration.get("celery", "broker_url") or "").strip()
    documented = "docs/redis-urls.md"
    if configuration.is_hidden("celery", "broker_url"):
        words = "a command, a secret or a variable gives [celery] broker_url, so its value is not known here"
        instead = "nothing if that is a Redis; otherwise set redis_url to a Redis or Valkey"
        return configuration, [
            Finding(kind="check", subject=subject, what=words, instead=instead, documented=documented)
        ]
    if is_redis_url(broker) and (uses_broker or broker != GENERATED_BROKER):
        words = "not set: the Redis of [celery] broker_url holds the state too"
        return configuration, [Finding(kind="kept", subject=subject, what=words, documented=documented)]
    if not broker and uses_broker:
        # The other executor's default.
        redis_url = redis_url or GENERATED_BROKER
    changed = configuration.set(table.SECTION, "redis_url", redis_url or UNKNOWN_REDIS)
    because = "the broker is not a Redis" if broker and uses_broker else "no Redis is configured"
    return changed, [
        Finding(
            kind="change" if redis_url else "blocked",
            subject=subject,
            what=because,
            instead="set it to a Redis or Valkey that scheduler, agents and workers reach"
            + ("" if redis_url else " (this command writes it with --redis-url URL)"),
            why="the state of all attempts is in Redis",
            documented=documented,
        )
    ]


def check_settings(configuration: Configuration) -> tuple[Settings | None, list[Finding]]:
    """Read the configuration as the scheduler and the workers do. Return the settings and each wrong value."""
    # The module of celery_config_options may be missing on this machine, and would be run here.
    source = configuration.unset("celery", "celery_config_options").source()
    shape = shape_of(configuration.get("core", "executor") or "") or "hybrid"
    settings: list[Settings] = []

    def read_all(conf: ConfigSource) -> None:
        settings.append(read_settings(conf, shape=shape))

    readers: list[Callable[[ConfigSource], object]] = [read_all, read_kubernetes_settings]
    if shape == "hybrid":
        readers.append(read_celery_settings)
    findings: list[Finding] = []
    for read in readers:
        try:
            read(source)
        except ConfigError as error:
            words = str(error)
            if all(words != finding.what for finding in findings):
                findings.append(Finding(kind="blocked", subject="configuration", what=words, why="start would fail"))
    return (settings[0] if settings else None), findings


def check_celery_config(configuration: Configuration) -> list[Finding]:
    """Return a finding about a module of the deployment's own with Celery settings. It is not imported here."""
    path = configuration.get("celery", "celery_config_options") or ""
    if path in ("", UPSTREAM_CONFIG):
        return []
    return [
        Finding(
            kind="check",
            subject="[celery] celery_config_options",
            what=f"{path} is used, and was not looked at",
            instead="it must be importable in scheduler and workers. If it imports airflow.providers.celery, keep "
            "apache-airflow-providers-celery installed",
            why="a result backend in it has no effect, and a broker in it must be the one of [celery] broker_url",
            documented="docs/configuration.md#celery",
        )
    ]


def explain_options(configuration: Configuration, *, pools: frozenset[str]) -> Iterator[Finding]:
    """Return what each option that is set does here: the same as before, or nothing.

    :param pools: the pools of the new routes. Options of other pools do nothing, as before.
    """
    options = configuration.sections()
    for section, rows in _TABLES:
        if section.partition("_")[0] not in pools:
            continue
        known = {row.name: row for row in rows}
        used = []
        for name, value in options.get(section, {}).items():
            plain = name.removesuffix("_cmd").removesuffix("_secret")
            row = known.get(name) or known.get(plain)
            if row is not None and (value.strip() in ("", row.default) and name == plain):
                continue
            if row is None:
                yield _without_effect(section, name, "this executor does not have it")
            elif plain in WITHOUT_EFFECT and section == "celery":
                yield _without_effect(section, name, WITHOUT_EFFECT[plain])
            elif _HAS_NO_EFFECT in row.description:
                yield _without_effect(section, name, row.description)
            else:
                used.append(name)
        if used:
            yield Finding(
                kind="kept", subject=f"[{section}]", what=", ".join(sorted(used)), documented="docs/configuration.md"
            )
    if "celery" in pools and options.get(TRANSPORT_SECTION):
        yield Finding(
            kind="kept",
            subject=f"[{TRANSPORT_SECTION}]",
            what=", ".join(sorted(options[TRANSPORT_SECTION])),
            documented="docs/workers.md#brokers",
        )


def _without_effect(section: str, name: str, why: str) -> Finding:
    return Finding(
        kind="gone",
        subject=f"[{section}] {name}",
        what="has no effect here; it may stay",
        why=why,
        documented=f"docs/configuration.md#{section}",
    )
