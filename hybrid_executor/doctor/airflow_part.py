"""Examines Airflow's own configuration as this process has it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from hybrid_executor import compat
from hybrid_executor.config import ConfigSource, Settings, airflow_config, table
from hybrid_executor.config.apart import check_apart
from hybrid_executor.config.identity import SHARED_SECRETS, read_fingerprints, read_secrets
from hybrid_executor.config.teams import is_multi_team, our_teams, read_executors
from hybrid_executor.doctor import airflow_checks as judge
from hybrid_executor.doctor.airflow_checks import HERE, ProviderFacts, SecretFacts
from hybrid_executor.doctor.findings import Finding, unknown
from hybrid_executor.doctor.rounds import Check, Subject
from hybrid_executor.doctor.timeout_checks import Timeouts, judge_timeouts
from hybrid_executor.doctor.workers_checks import title_of
from hybrid_executor.doctor.workers_part import read_crew
from hybrid_executor.errors import ConfigError, StoreUnavailable
from hybrid_executor.store import Store

_ANSWER_SECONDS = 5.0
_GROUP = "hybrid"
_DEFAULT_API = "http://localhost:8080"


@dataclass
class AirflowSubject:
    """The configuration, compared with what the others announce in Redis.

    :param store: ``None`` where no Redis is configured.
    """

    conf: ConfigSource
    settings: Settings
    store: Store | None

    def subject(self) -> Subject:
        """Return what to examine."""
        return Subject(
            part="airflow",
            name="configuration of this process",
            checks=[
                Check(name="executor", run=self._executor),
                Check(name="teams", run=self._teams),
                Check(name="execution API", run=self._api),
                Check(name="secrets", run=self._secrets),
                Check(name="providers", run=self._providers),
                Check(name="timeouts", run=lambda: judge_timeouts(read_timeouts(self.conf, self.settings))),
            ],
            close=self.store.close if self.store is not None else lambda: None,
        )

    def _executor(self) -> Iterable[Finding]:
        if self.conf.team:
            names = [entry.path for entry in read_executors(self.conf) if entry.team == self.conf.team]
            return judge.judge_executor(",".join(names))
        return judge.judge_executor(str(self.conf.get("core", "executor", fallback="") or ""))

    def _teams(self) -> Iterable[Finding]:
        """Look at all teams, whichever is asked about: one that shares something with another concerns both."""
        if not is_multi_team(self.conf):
            return []
        try:
            check_apart(airflow_config)
            trouble = ""
        except ConfigError as error:
            trouble = str(error).rstrip(".")
        try:
            known: frozenset[str] | None = frozenset(compat.all_teams())
        except Exception:  # noqa: BLE001 - without the database, it is unknown which teams exist
            known = None
        return judge.judge_teams([team for team in our_teams(self.conf) if team], known=known, trouble=trouble)

    def _api(self) -> Iterator[Finding]:
        url, is_set = api_address(self.conf)
        yield judge.judge_api(url, is_set=is_set, answer=ask_health(url))

    def _secrets(self) -> Iterable[Finding]:
        conf, instance = self.conf, self.settings.instance
        announced = {name: {HERE: text} for name, text in read_fingerprints(conf, instance=instance).items()}
        agents: frozenset[str] = frozenset()
        trouble = ""
        if self.store is not None:
            try:
                crew = read_crew(self.store)
            except StoreUnavailable as error:
                trouble = str(error).rstrip(".")
            else:
                agents = frozenset(title_of(member) for member in crew.agents)
                for member in crew.living:
                    for name, text in read_secrets(member.fields).items():
                        announced.setdefault(name, {})[title_of(member)] = text
        found = judge.judge_secrets(
            SecretFacts(
                set_here=frozenset(f"{part}.{name}" for part, name in SHARED_SECRETS if conf.is_set(part, name)),
                has_key_file=conf.is_set("api_auth", "jwt_private_key_path"),
                announced=announced,
                agents=agents,
            )
        )
        if trouble:
            found = [finding for finding in found if finding.check != "secrets equal"]
            found.append(unknown("secrets equal", f"the announcements could not be read: {trouble}"))
        return found

    def _providers(self) -> Iterable[Finding]:
        providers = [
            ProviderFacts(package=package, sections=sections, groups=groups)
            for package, sections, groups in compat.read_providers()
        ]
        return [judge.judge_providers(providers, section=table.SECTION, group=_GROUP)]


def api_address(conf: ConfigSource) -> tuple[str, bool]:
    """Return the address of the execution API as Airflow's executors find it, and whether a person has set it."""
    url = str(conf.get("core", "execution_api_server_url", fallback="") or "")
    if url:
        return url, True
    base = str(conf.get("api", "base_url", fallback="") or "/")
    is_whole = not base.startswith("/")
    return f"{(base if is_whole else _DEFAULT_API + base).rstrip('/')}/execution/", is_whole


def ask_health(url: str) -> str:
    """Ask an execution API whether it is healthy; return "" if it is, else what came instead."""
    import urllib3

    if urlsplit(url).scheme not in ("http", "https"):
        return "this is not an http or https address"
    pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=_ANSWER_SECONDS))
    try:
        answer = pool.request("GET", f"{url.rstrip('/')}/health")
    except urllib3.exceptions.NewConnectionError as error:  # a kind of time-out, by its class
        return _words_of(error)
    except urllib3.exceptions.TimeoutError:
        return f"no answer within {_ANSWER_SECONDS:.0f} s"
    except (urllib3.exceptions.HTTPError, OSError) as error:
        return _words_of(error)
    finally:
        pool.clear()
    if answer.status != 200:
        return f"HTTP {answer.status}, so another server or path is there"
    return "" if b"healthy" in answer.data else "the answer is not that of Airflow's execution API"


def _words_of(error: BaseException) -> str:
    """Return why there was no answer: the words of the operating system where it has said so."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def read_timeouts(conf: ConfigSource, settings: Settings) -> Timeouts:
    """Return Airflow's time limits and ours."""
    usual = Timeouts()

    def seconds(section: str, name: str) -> float:
        try:
            return float(conf.get(section, name, fallback=getattr(usual, name)))
        except (TypeError, ValueError):
            return float(getattr(usual, name))

    visible = settings.broker.transport_options.get("visibility_timeout", usual.visibility_timeout)
    return Timeouts(
        task_queued_timeout=seconds("scheduler", "task_queued_timeout"),
        scheduler_health_check_threshold=seconds("scheduler", "scheduler_health_check_threshold"),
        task_instance_heartbeat_timeout=seconds("scheduler", "task_instance_heartbeat_timeout"),
        min_heartbeat_interval=seconds("workers", "min_heartbeat_interval"),
        execution_api_timeout=seconds("workers", "execution_api_timeout"),
        visibility_timeout=float(visible) if isinstance(visible, int | float) else usual.visibility_timeout,
        record_retention=float(table.RECORD_RETENTION.read(conf)),
        worker_lost_after=settings.worker_lost_after_seconds,
        repair_interval=settings.repair_interval_seconds,
        launch_patience=settings.launch_patience_seconds,
        worker_shutdown_timeout=float(table.WORKER_SHUTDOWN_TIMEOUT.read(conf)),
        has_workers="celery" in settings.routes.pools,
        has_pods=bool(settings.clusters),
        broker_redelivers="visibility_timeout" in settings.broker.transport_options,
    )
