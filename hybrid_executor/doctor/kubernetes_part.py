"""Examines each cluster of the routes: the server, the rights in each namespace, and the pod of each route."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import hybrid_executor.doctor.cluster_checks as judge
from hybrid_executor import compat
from hybrid_executor.agent.launch.mutation_hook import airflow_config_folder, load_mutation_hook
from hybrid_executor.agent.launch.pod_factory import Manifest, PodFactory
from hybrid_executor.agent.namespaces import namespaces_to_watch
from hybrid_executor.config import ConfigSource, Profile, Settings
from hybrid_executor.config.kubernetes import KubernetesSettings
from hybrid_executor.doctor.findings import Finding, failure, ok, unknown, warning
from hybrid_executor.doctor.pod_checks import PodFacts, judge_api_address, judge_image
from hybrid_executor.doctor.rounds import Check, Subject
from hybrid_executor.errors import ConfigError, KubeError, TaskRejected
from hybrid_executor.events import AttemptId
from hybrid_executor.kube import examination as ask
from hybrid_executor.kube.client import KubeClient, connect
from hybrid_executor.kube.refusal import judge_create_error
from hybrid_executor.kube.rights import AGENT_RIGHTS, ATTACH_RIGHTS, Right, attempt, review
from hybrid_executor.routing import Route
from hybrid_executor.states import State
from hybrid_executor.store import Record

_CONNECT_SECONDS, _ANSWER_SECONDS = 2.0, 4.0
_ONE_TRY = {"total": 0, "redirect": 0}
_WILDCARDS = str.maketrans(dict.fromkeys("*?[]!", ""))
_REACH = (
    "start the cluster, open the way to it (firewall, proxy, DNS), or correct [kubernetes_executor] config_file and "
    "cluster_context (or those of the profile). kubectl get pods with the same file shows the same problem"
)


def kubernetes_subjects(conf: ConfigSource, settings: Settings, kubernetes: KubernetesSettings) -> Sequence[Subject]:
    """Return one subject per cluster of the routes; nothing is connected yet."""
    patient = replace(kubernetes, request_timeout=(_CONNECT_SECONDS, _ANSWER_SECONDS), retry_arguments=dict(_ONE_TRY))
    return [
        ClusterSubject(cluster, profile, conf, settings, patient).subject()
        for cluster, profile in settings.clusters.items()
    ]


@dataclass
class ClusterSubject:
    """One cluster.

    :param profile: has its address.
    """

    cluster: str
    profile: Profile
    conf: ConfigSource
    settings: Settings
    kubernetes: KubernetesSettings
    _client: KubeClient | None = None
    _server: ask.ServerFacts | None = None
    _pods: list[tuple[str, Manifest]] = field(default_factory=list)

    def subject(self) -> Subject:
        """Return what to examine."""
        namespaces = namespaces_to_watch(self.cluster, self.settings, self.kubernetes)
        checks = [
            Check(name="reachable", run=self._reach, is_gate=True),
            Check(name="credentials", run=self._credentials),
        ]
        for namespace in namespaces:
            checks += [
                Check(name="rights", run=partial(self._rights, namespace)),
                Check(name="other executors", run=partial(self._upstream, namespace)),
            ]
            if namespace is not None:
                checks.append(Check(name="quota", run=partial(self._quotas, namespace)))
        checks += [Check(name="pod template", run=self._build), Check(name="pod", run=self._dry_run)]
        checks += [Check(name="image", run=self._images), Check(name="execution API", run=self._api_addresses)]
        return Subject(part="kubernetes", name=f"cluster {self.cluster}", checks=checks, close=self._close)

    @property
    def client(self) -> KubeClient:
        """The connection that the first check has made."""
        assert self._client is not None, "the first check connects"
        return self._client

    def _reach(self) -> Iterator[Finding]:
        profile = self.profile
        try:
            self._client = connect(
                self.kubernetes,
                context=profile.cluster_context,
                config_file=profile.config_file,
                in_cluster=profile.in_cluster,
            )
        except ConfigError as error:
            where = "where agents run" if self.settings.agent == "external" else "where the scheduler runs"
            yield failure("reachable", str(error).rstrip("."), f"run this command {where}, if that is another machine")
            return
        try:
            self._server = ask.read_server(self._client)
        except KubeError as error:
            yield failure("reachable", f"{self._client.host}: {error}", _REACH)
            return
        yield judge.judge_server(self._server)
        yield judge.judge_tls(self._client.host, verifies=self.kubernetes.verify_ssl)
        yield judge.judge_version(self._server)
        yield judge.judge_clock(self._server)

    def _credentials(self) -> Iterator[Finding]:
        for credential in ask.read_credentials(self.client):
            yield judge.judge_credential(credential, now=time.time())

    def _rights(self, namespace: str | None) -> Iterator[Finding]:
        was_tried = False
        missing: list[str] = []
        attaches = self.settings.attaches(self.cluster)
        for right in (*AGENT_RIGHTS, *(ATTACH_RIGHTS if attaches else ())):
            try:
                has_right, tried = _has_right(self.client, right, namespace, tries=was_tried)
            except KubeError as error:
                yield _refused("rights", error)
                return
            was_tried = was_tried or tried
            if not has_right:
                missing.append(str(right))
        needs_attach = self.settings.pod_token == "stdin"
        yield judge.judge_rights(missing, namespace, was_tried=was_tried, needs_attach=needs_attach)

    def _upstream(self, namespace: str | None) -> Iterator[Finding]:
        try:
            yield judge.judge_upstream(ask.has_upstream_pods(self.client, namespace), namespace)
        except KubeError as error:
            yield unknown("other executors", f"pods could not be listed: {error}")

    def _quotas(self, namespace: str) -> Iterator[Finding]:
        try:
            yield from judge.judge_quotas(ask.read_quotas(self.client, namespace), namespace)
        except KubeError as error:
            yield judge.quota_unknown(namespace) if error.status == 403 else _refused("quota", error)

    def _build(self) -> Iterator[Finding]:
        """Make the pod of each route as an agent would, and report what is suspicious in templates and profiles."""
        hook = load_mutation_hook(
            config_folder=airflow_config_folder(),
            plugins_folder=str(self.conf.get("core", "plugins_folder", fallback="") or ""),
        )
        factory = PodFactory(
            self.kubernetes,
            instance=self.settings.instance,
            profiles=self.settings.profiles,
            hook=hook,
            airflow_version=compat.airflow_version(),
            coordinator_pods=self.settings.coordinator_pods,
            pod_token=self.settings.pod_token,
        )
        suspicious = list(dict.fromkeys(factory.findings()))
        cure = "correct the file that is named; airflow hybrid pod-yaml shows the pods of a Dag"
        for route in self._routes():
            try:
                self._pods.append((str(route), factory.build(_example(route), payload="{}", overrides="")))
            except TaskRejected as error:
                words = str(error).rstrip(".")
                suspicious = [text for text in suspicious if text.rstrip(".") != words]
                yield failure("pod template", f"{route}: no pod can be made: {words}", cure)
        for words in suspicious:
            yield warning("pod template", words, cure)
        if self._pods and not suspicious:
            yield ok("pod template", f"a pod was made for {', '.join(route for route, _ in self._pods)}")

    def _dry_run(self) -> Iterator[Finding]:
        """Let the server check each pod strictly."""
        heard = self.client.transport.warnings.texts
        for route, made in self._pods:
            before = len(heard)
            try:
                self.client.dry_run_pod(made.namespace, made.pod)
            except KubeError as error:
                refusal = judge_create_error(error, patience_seconds=self.settings.launch_patience_seconds)
                cure = "airflow hybrid pod-yaml shows the pods of a Dag, and checks them with --check"
                yield failure("pod", f"{route}: {refusal.reason or error}", cure)
                continue
            yield ok("pod", f"{route}: the server accepts it in namespace {made.namespace} (strict dry run)")
            for text in heard[before:]:
                yield warning("pod", f"{route}: the server warns: {text}", "correct the pod template or the profile")

    def _images(self) -> Iterator[Finding]:
        for facts in self._facts():
            yield judge_image(facts, compat.airflow_version())

    def _api_addresses(self) -> Iterator[Finding]:
        for facts in self._facts():
            yield judge_api_address(facts)

    def _facts(self) -> Iterator[PodFacts]:
        version = self._server.version if self._server else ""
        for route, made in self._pods:
            yield PodFacts(route=route, pod=made.pod, server_version=version)

    def _routes(self) -> Iterator[Route]:
        """Yield a route of one target for each target with pods in this cluster."""
        for route in self.settings.routes.routes:
            for target in route.targets:
                if target.pool == "kubernetes" and self.settings.profile_of(target).cluster == self.cluster:
                    yield Route(route.pattern, (target,))

    def _close(self) -> None:
        if self._client is not None:
            self._client.close()


def _has_right(client: KubeClient, right: Right, namespace: str | None, *, tries: bool) -> tuple[bool, bool]:
    """Return whether the account has a right, and whether that had to be tried.

    :param tries: reviews are known to be denied.
    :raises KubeError: the API could not be asked.
    """
    if not tries:
        try:
            return review(client, right, namespace), False
        except KubeError as error:
            if error.status != 403:
                raise
    return attempt(client, right, namespace), True


def _refused(check: str, error: KubeError) -> Finding:
    cure = "renew the credentials" if error.status == 401 else "see what the API server says, and its log"
    return failure(check, str(error), cure)


def _example(route: Route) -> Record:
    """Return a record for a pod of the route; its queue is one that the pattern matches, without the wildcards."""
    queue = route.pattern.translate(_WILDCARDS) or "default"
    return Record(
        id=AttemptId("00000000-0000-0000-0000-000000000000"),
        state=State.SUBMITTED,
        generation=1,
        dag_id="hybrid-doctor",
        task_id="example",
        run_id="example",
        try_number=1,
        queue=queue,
        profile=route.profile,
    )
