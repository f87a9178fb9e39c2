"""The shape of a pod manifest: which fields exist, of which JSON type.

The answers are those of a real server: 400 for a value of the wrong type; unknown fields are dropped, or refused if the
client asks for strict validation. Deep or rarely used parts are not checked (:data:`ANY`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hybrid_executor.sandbox.objects import Object
from hybrid_executor.sandbox.status import bad_request


@dataclass(frozen=True)
class Type:
    """One Go type of the API: a plain value, a list, a map or a struct.

    :ivar go: the type's name in error messages.
    :ivar json: the JSON type it is read from, "" for any.
    :ivar item: the type of a list's or map's values.
    :ivar fields: a struct's fields.
    """

    go: str
    json: str = ""
    item: Type | None = None
    fields: Mapping[str, Type] | None = None


ANY = Type("any")
STRING = Type("string", "string")
INT32 = Type("int32", "number")
INT64 = Type("int64", "number")
BOOL = Type("bool", "bool")
STRINGS = Type("[]string", "array", STRING)
STRING_MAP = Type("map[string]string", "object", STRING)
STRUCT = Type("struct", "object")


def _struct(go: str, **fields: Type) -> Type:
    return Type(go, "object", fields=fields)


def _list(item: Type) -> Type:
    return Type(f"[]{item.go}", "array", item)


OBJECT_META = _struct(
    "v1.ObjectMeta",
    name=STRING,
    generateName=STRING,
    namespace=STRING,
    selfLink=STRING,
    uid=STRING,
    resourceVersion=STRING,
    generation=INT64,
    creationTimestamp=ANY,
    deletionTimestamp=ANY,
    deletionGracePeriodSeconds=INT64,
    labels=STRING_MAP,
    annotations=STRING_MAP,
    ownerReferences=_list(STRUCT),
    finalizers=STRINGS,
    managedFields=ANY,
)

ENV_VAR = _struct("v1.EnvVar", name=STRING, value=STRING, valueFrom=STRUCT)

CONTAINER = _struct(
    "v1.Container",
    name=STRING,
    image=STRING,
    command=STRINGS,
    args=STRINGS,
    workingDir=STRING,
    ports=_list(STRUCT),
    envFrom=_list(STRUCT),
    env=_list(ENV_VAR),
    resources=_struct("v1.ResourceRequirements", limits=STRUCT, requests=STRUCT, claims=_list(STRUCT)),
    resizePolicy=_list(STRUCT),
    restartPolicy=STRING,
    restartPolicyRules=_list(STRUCT),
    volumeMounts=_list(STRUCT),
    volumeDevices=_list(STRUCT),
    livenessProbe=STRUCT,
    readinessProbe=STRUCT,
    startupProbe=STRUCT,
    lifecycle=STRUCT,
    terminationMessagePath=STRING,
    terminationMessagePolicy=STRING,
    imagePullPolicy=STRING,
    securityContext=STRUCT,
    stdin=BOOL,
    stdinOnce=BOOL,
    tty=BOOL,
)

POD_SPEC = _struct(
    "v1.PodSpec",
    volumes=_list(STRUCT),
    initContainers=_list(CONTAINER),
    containers=_list(CONTAINER),
    ephemeralContainers=_list(STRUCT),
    restartPolicy=STRING,
    terminationGracePeriodSeconds=INT64,
    activeDeadlineSeconds=INT64,
    dnsPolicy=STRING,
    nodeSelector=STRING_MAP,
    serviceAccountName=STRING,
    serviceAccount=STRING,
    automountServiceAccountToken=BOOL,
    nodeName=STRING,
    hostNetwork=BOOL,
    hostPID=BOOL,
    hostIPC=BOOL,
    shareProcessNamespace=BOOL,
    securityContext=STRUCT,
    imagePullSecrets=_list(STRUCT),
    hostname=STRING,
    hostnameOverride=STRING,
    subdomain=STRING,
    affinity=STRUCT,
    schedulerName=STRING,
    tolerations=_list(STRUCT),
    hostAliases=_list(STRUCT),
    priorityClassName=STRING,
    priority=INT32,
    dnsConfig=STRUCT,
    readinessGates=_list(STRUCT),
    runtimeClassName=STRING,
    enableServiceLinks=BOOL,
    preemptionPolicy=STRING,
    overhead=STRUCT,
    topologySpreadConstraints=_list(STRUCT),
    setHostnameAsFQDN=BOOL,
    os=STRUCT,
    hostUsers=BOOL,
    schedulingGates=_list(STRUCT),
    resourceClaims=_list(STRUCT),
    resources=STRUCT,
)

POD = _struct("v1.Pod", apiVersion=STRING, kind=STRING, metadata=OBJECT_META, spec=POD_SPEC, status=STRUCT)


def decode_pod(body: Object) -> tuple[Object, list[str]]:
    """Return the manifest without the fields that a pod does not have, and the paths of those fields.

    :raises StatusError: 400, a value has the wrong type.
    """
    unknown: list[str] = []
    decoded: Object = _decode(body, POD, path="", struct="Pod", unknown=unknown)
    return decoded, unknown


def _decode(value: Any, wanted: Type, *, path: str, struct: str, unknown: list[str]) -> Any:
    """Check one value; ``path`` is where it stands, with list positions, ``struct`` the Go struct that holds it."""
    if value is None or not wanted.json:
        return value
    given = _json_type(value)
    if given != wanted.json:
        raise _wrong_type(given, wanted, path=path, struct=struct)
    if wanted.fields is not None:
        inner = wanted.go.removeprefix("v1.")
        unknown.extend(_joined(path, key) for key in value if key not in wanted.fields)
        return {
            key: _decode(part, wanted.fields[key], path=_joined(path, key), struct=inner, unknown=unknown)
            for key, part in value.items()
            if key in wanted.fields and part is not None
        }
    if wanted.item is None:
        return value
    if wanted.json == "array":
        return [
            _decode(part, wanted.item, path=f"{path}[{at}]", struct=struct, unknown=unknown)
            for at, part in enumerate(value)
        ]
    return {key: _decode(part, wanted.item, path=path, struct=struct, unknown=unknown) for key, part in value.items()}


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, (int, float)):
        return "number"
    return "array" if isinstance(value, list) else "object"


def _wrong_type(given: str, wanted: Type, *, path: str, struct: str) -> Exception:
    steps = [step.partition("[")[0] for step in path.split(".")]
    return bad_request(
        'Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal '
        f"{given} into Go struct field {struct}.{'.'.join(steps)} of type {wanted.go}"
    )
