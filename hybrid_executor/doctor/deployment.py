"""The whole deployment: which parts there are, and what is examined of each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial

from hybrid_executor.config import ConfigSource, Settings
from hybrid_executor.config.shape import read_configured_settings
from hybrid_executor.config.teams import in_words_of
from hybrid_executor.doctor.findings import Finding, failure, ok
from hybrid_executor.doctor.rounds import Check, Subject, examine_all
from hybrid_executor.errors import HybridError
from hybrid_executor.hiding import hide_secrets
from hybrid_executor.store import Store, open_configured_store

PARTS = ("redis", "kubernetes", "airflow", "workers")
_CONNECT_SECONDS, _ANSWER_SECONDS = 2.0, 2.0


def examine(conf: ConfigSource, parts: Collection[str] = ()) -> list[Finding]:
    """Examine a deployment, or some parts of it, and return what was found, in the order of the parts.

    Raises nothing: a configuration that cannot be read is a finding.

    :param parts: of :data:`PARTS`; all where it is empty.
    """
    found = _examine(conf, parts)
    words = partial(in_words_of, conf.team)
    return [replace(finding, what=words(finding.what), cure=words(finding.cure)) for finding in found]


def _examine(conf: ConfigSource, parts: Collection[str]) -> list[Finding]:
    try:
        settings = read_configured_settings(conf)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the configuration is a finding
        return examine_all([_broken("airflow", "configuration of this process", error)])
    subjects: list[Subject] = []
    for part in PARTS:
        if parts and part not in parts:
            continue
        try:
            subjects += _SUBJECTS[part](conf, settings)
        except Exception as error:  # noqa: BLE001 - what is wrong with one part keeps no other from its result
            subjects.append(_broken(part, "configuration", error))
    return examine_all(subjects)


def _redis(conf: ConfigSource, settings: Settings) -> Sequence[Subject]:
    from hybrid_executor.config.celery import read_celery_settings
    from hybrid_executor.doctor.redis_part import BrokerSubject, StoreSubject

    store = StoreSubject(conf, settings, _open(settings))
    if "celery" not in settings.routes.pools:
        return [store.subject()]
    presence = _open(settings)

    def are_workers_alive() -> bool:
        try:
            return any(member.is_alive for member in presence.presence.members("worker"))
        except HybridError:
            return False
        finally:
            presence.close()

    broker = BrokerSubject(conf, settings, read_celery_settings(conf), store.server, are_workers_alive)
    return [store.subject(), broker.subject()]


def _kubernetes(conf: ConfigSource, settings: Settings) -> Sequence[Subject]:
    from hybrid_executor.config.kubernetes import read_kubernetes_settings
    from hybrid_executor.doctor.kubernetes_part import kubernetes_subjects

    if not settings.clusters:
        none = ok("routes", "no route leads to kubernetes, so no cluster is needed")
        return [Subject(part="kubernetes", name="", checks=[Check(name="routes", run=lambda: [none])])]
    return kubernetes_subjects(conf, settings, read_kubernetes_settings(conf))


def _airflow(conf: ConfigSource, settings: Settings) -> Sequence[Subject]:
    from hybrid_executor.doctor.airflow_part import AirflowSubject

    try:
        store = _open(settings)
    except HybridError:  # said by the part about Redis
        store = None
    return [AirflowSubject(conf, settings, store).subject()]


def _workers(conf: ConfigSource, settings: Settings) -> Sequence[Subject]:
    from hybrid_executor.doctor.workers_part import WorkersSubject

    return [WorkersSubject(conf, settings, _open(settings)).subject()]


def _open(settings: Settings) -> Store:
    """Return a store with short time limits; nothing is connected yet.

    :raises ConfigError: no Redis is configured, or its address cannot be used.
    """
    settings.require_redis()
    return open_configured_store(settings, connect_seconds=_CONNECT_SECONDS, answer_seconds=_ANSWER_SECONDS, retries=0)


def _broken(part: str, name: str, error: Exception) -> Subject:
    """Return a subject whose only finding is that its configuration cannot be used."""
    told = str(error).rstrip(".")
    words = told if isinstance(error, HybridError) else hide_secrets(f"{type(error).__name__}: {told}")
    finding = failure("configuration", words, "correct what is named; more is not checked without it")
    return Subject(part=part, name=name, checks=[Check(name="configuration", run=lambda: [finding])])


_SUBJECTS: dict[str, Callable[[ConfigSource, Settings], Sequence[Subject]]] = {
    "redis": _redis,
    "kubernetes": _kubernetes,
    "airflow": _airflow,
    "workers": _workers,
}
