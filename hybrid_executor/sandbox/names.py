"""Checks of names, labels and annotations, with the API's own error messages. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from hybrid_executor.sandbox.objects import Object
from hybrid_executor.sandbox.status import FieldError

LABEL_NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN = rf"{LABEL_NAME}(\.{LABEL_NAME})*"
QUALIFIED_NAME = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
LABEL_VALUE = rf"({QUALIFIED_NAME})?"
ANNOTATIONS_LIMIT_BYTES = 256 * 1024

_RULES = {
    LABEL_NAME: (
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
        "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc'"
    ),
    SUBDOMAIN: (
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
        "start and end with an alphanumeric character (e.g. 'example.com'"
    ),
    QUALIFIED_NAME: (
        "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
        "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc'"
    ),
    LABEL_VALUE: (
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
        "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345'"
    ),
}

Rule = Callable[[str], Iterator[str]]


def label_name(value: str) -> Iterator[str]:
    """Yield what keeps the value from being a DNS label (container and namespace names)."""
    yield from _check(value, LABEL_NAME, limit=63, unit="bytes")


def subdomain(value: str) -> Iterator[str]:
    """Yield what keeps the value from being a DNS subdomain (names of pods and of most objects)."""
    yield from _check(value, SUBDOMAIN, limit=253, unit="characters")


def label_value(value: str) -> Iterator[str]:
    """Yield what keeps the value from being a label's value."""
    yield from _check(value, LABEL_VALUE, limit=63, unit="bytes")


def qualified_name(value: str) -> Iterator[str]:
    """Yield what keeps the value from being a label's or an annotation's key: an optional prefix, and a name."""
    prefix, slash, name = value.rpartition("/")
    if slash:
        for problem in subdomain(prefix):
            yield f"prefix part {problem}"
    if not name:
        yield "name part must be non-empty"
        return
    for problem in _check(name, QUALIFIED_NAME, limit=63, unit="bytes"):
        yield problem if problem.startswith("name part") else f"name part {problem}"


def _check(value: str, pattern: str, *, limit: int, unit: str) -> Iterator[str]:
    if len(value) > limit:
        yield f"must be no more than {limit} {unit}"
    if not re.fullmatch(pattern, value):
        yield f"{_RULES[pattern]}, regex used for validation is '{pattern}')"


def invalid_values(where: str, value: str, rule: Rule) -> Iterator[FieldError]:
    """Yield a field error for each problem that the rule finds."""
    for problem in rule(value):
        yield FieldError(where, f'Invalid value: "{value}": {problem}')


def metadata_errors(metadata: Object, *, name_rule: Rule = subdomain) -> Iterator[FieldError]:
    """Yield what is wrong with an object's name, labels and annotations."""
    name, prefix = metadata.get("name", ""), metadata.get("generateName", "")
    if prefix:
        yield from invalid_values("metadata.generateName", prefix.rstrip("-.") or prefix, name_rule)
    if not name:
        yield FieldError("metadata.name", "Required value: name or generateName is required")
    else:
        yield from invalid_values("metadata.name", name, name_rule)
    labels: dict[str, Any] = metadata.get("labels") or {}
    for key, value in labels.items():
        yield from invalid_values("metadata.labels", key, qualified_name)
        yield from invalid_values("metadata.labels", value, label_value)
    annotations: dict[str, Any] = metadata.get("annotations") or {}
    for key in annotations:
        yield from invalid_values("metadata.annotations", key.lower(), qualified_name)
    size = sum(len(key) + len(str(value)) for key, value in annotations.items())
    if size > ANNOTATIONS_LIMIT_BYTES:
        message = f"Too long: may not be more than {ANNOTATIONS_LIMIT_BYTES} bytes"
        yield FieldError("metadata.annotations", message)
