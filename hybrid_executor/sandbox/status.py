"""The API's ``Status`` answers, with the same text as a real server.

A refusal is raised as :class:`StatusError`. The gate turns it into an HTTP answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hybrid_executor.errors import HybridError
from hybrid_executor.sandbox.objects import Object, Resource

CAUSE_REASONS = {
    "Invalid value": "FieldValueInvalid",
    "Required value": "FieldValueRequired",
    "Duplicate value": "FieldValueDuplicate",
    "Unsupported value": "FieldValueNotSupported",
    "Not found": "FieldValueNotFound",
    "Forbidden": "FieldValueForbidden",
    "Too long": "FieldValueTooLong",
}
"""The text that a field error starts with, and the reason that goes with it."""


@dataclass(frozen=True)
class FieldError:
    """One thing wrong with one field, e.g. ``FieldError("spec.containers", "Required value")``."""

    field: str
    message: str

    def as_cause(self) -> Object:
        """Return the entry of ``details.causes``."""
        reason = CAUSE_REASONS[self.message.partition(":")[0]]
        return {"reason": reason, "message": self.message, "field": self.field}


@dataclass(eq=False)
class StatusError(HybridError):
    """A request that the API refuses.

    :ivar code: the HTTP status; also ``code`` in the body.
    :ivar reason: the machine-readable reason, "" where the API gives none.
    :ivar headers: more headers of the answer, e.g. ``Retry-After``.
    """

    code: int
    reason: str
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message

    def body(self) -> Object:
        """Return the Status object."""
        status: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        status["message"] = self.message
        if self.reason:
            status["reason"] = self.reason
        if self.details:
            status["details"] = dict(self.details)
        status["code"] = self.code
        return status


def success(code: int) -> Object:
    """Return the Status of a request that worked and has no object to answer with."""
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code}


def bad_request(message: str) -> StatusError:
    """400: the request itself makes no sense."""
    return StatusError(400, "BadRequest", message)


def unauthorized() -> StatusError:
    """401: a token that the server does not know."""
    return StatusError(401, "Unauthorized", "Unauthorized")


def not_found(resource: Resource, name: str) -> StatusError:
    """404 for an object."""
    details = {"name": name, "kind": resource.plural}
    return StatusError(404, "NotFound", f'{resource.plural} "{name}" not found', details)


def no_such_path() -> StatusError:
    """404 for a path that the server does not serve."""
    return StatusError(404, "NotFound", "the server could not find the requested resource", {})


def unsupported_media_type(given: str, accepted: Sequence[str]) -> StatusError:
    """415: a body in a format that the server does not read."""
    message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    return StatusError(415, "UnsupportedMediaType", message, {"name": given} if given else {})


def already_exists(resource: Resource, name: str) -> StatusError:
    """409: a create for a name that is taken."""
    details = {"name": name, "kind": resource.plural}
    return StatusError(409, "AlreadyExists", f'{resource.plural} "{name}" already exists', details)


def modified_meanwhile(resource: Resource, name: str) -> StatusError:
    """409: a write based on a version that is not the latest."""
    message = (
        f'Operation cannot be fulfilled on {resource.plural} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    return StatusError(409, "Conflict", message, {"name": name, "kind": resource.plural})


def precondition_failed(resource: Resource, name: str, *, what: str, asked: str, found: str) -> StatusError:
    """409: a delete meant for another incarnation of the object."""
    message = (
        f'Operation cannot be fulfilled on {resource.kind} "{name}": the {what} in the precondition ({asked}) '
        f"does not match the {what} in record ({found}). "
        "The object might have been deleted and then recreated"
    )
    return StatusError(409, "Conflict", message, {"name": name, "kind": resource.kind})


def invalid(resource: Resource, name: str, errors: Sequence[FieldError]) -> StatusError:
    """422: an object that breaks rules, with every broken rule."""
    texts = [f"{error.field}: {error.message}" for error in errors]
    summary = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details = {"name": name, "kind": resource.kind, "causes": [error.as_cause() for error in errors]}
    return StatusError(422, "Invalid", f'{resource.kind} "{name}" is invalid: {summary}', details)


def forbidden(resource: Resource, name: str, why: str, *, causes: Sequence[Mapping[str, str]] = ()) -> StatusError:
    """403 by a rule of the cluster (quota, a namespace that ends), not by missing rights."""
    details: dict[str, Any] = {"name": name, "kind": resource.plural}
    if causes:
        details["causes"] = [dict(cause) for cause in causes]
    return StatusError(403, "Forbidden", f'{resource.plural} "{name}" is forbidden: {why}', details)


def namespace_is_ending(resource: Resource, name: str, namespace: str) -> StatusError:
    """403: a create in a namespace that is being deleted."""
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {namespace} is being terminated",
        "field": "metadata.namespace",
    }
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    return forbidden(resource, name, why, causes=[cause])


def version_expired(message: str) -> StatusError:
    """410: a resourceVersion that the history no longer reaches."""
    return StatusError(410, "Expired", message)


def version_in_the_future(asked: int, current: int) -> StatusError:
    """504: a resourceVersion that the server has not reached."""
    message = f"Too large resource version: {asked}, current: {current}"
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    details = {"causes": [cause], "retryAfterSeconds": 1}
    return StatusError(504, "Timeout", f"Timeout: {message}", details, {"Retry-After": "1"})


def malformed_version(text: str) -> StatusError:
    """500, as recorded: a resourceVersion that is not a number."""
    message = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
    return StatusError(500, "", message)
