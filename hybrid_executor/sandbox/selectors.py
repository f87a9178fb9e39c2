"""Label and field selectors, made from text. Pure.

Grammar and errors are those of the API: ``a=b``, ``a==b``, ``a!=b``, ``a in (b,c)``, ``a notin (b,c)``, ``a``, ``!a``,
joined by commas. ``!=`` and ``notin`` also match an object without the label.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from hybrid_executor.sandbox.objects import Object
from hybrid_executor.sandbox.status import bad_request

Predicate = Callable[[Object], bool]
Requirement = Callable[[Mapping[str, str]], bool]

TOKEN = re.compile(r"\s*(?:(?P<symbol>==|!=|[=!(),])|(?P<word>[^\s=!(),]+))")


def match_all(_: Object) -> bool:
    """The selector that was not given."""
    return True


def label_selector(text: str) -> Predicate:
    """Return the predicate of a ``labelSelector``; "" matches everything.

    :raises StatusError: 400, the text is no selector.
    """
    if not text.strip():
        return match_all
    requirements = list(_Parser(text).requirements())

    def matches(stored: Object) -> bool:
        labels = stored["metadata"].get("labels") or {}
        return all(requirement(labels) for requirement in requirements)

    return matches


class _Parser:
    """Reads one selector from left to right."""

    def __init__(self, text: str) -> None:
        self._tokens: list[str] = [match["symbol"] or match["word"] for match in TOKEN.finditer(text)]
        self._at = 0

    def requirements(self) -> Iterator[Requirement]:
        yield self._requirement()
        while self._peek():
            self._expect(",")
            yield self._requirement()

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def _expect(self, symbol: str) -> None:
        found = self._next()
        if found != symbol:
            raise bad_request(f"unable to parse requirement: found '{found}', expected: '{symbol}'")

    def _identifier(self) -> str:
        found = self._next()
        if not found or found in {"=", "==", "!=", "!", "(", ")", ","}:
            raise bad_request(f"unable to parse requirement: found '{found}', expected: identifier")
        return found

    def _value(self) -> str:
        """An exact value; nothing before the next comma means the empty value."""
        return "" if self._peek() in {"", ","} else self._identifier()

    def _requirement(self) -> Requirement:
        if self._peek() == "!":
            self._next()
            return _absent(self._identifier())
        key = self._identifier()
        operator = self._peek()
        if operator in {"", ","}:
            return _present(key)
        self._next()
        if operator in {"=", "=="}:
            return _among(key, frozenset({self._value()}))
        if operator == "!=":
            return _not_among(key, frozenset({self._value()}))
        if operator == "in":
            return _among(key, self._values())
        if operator == "notin":
            return _not_among(key, self._values())
        raise bad_request(f"unable to parse requirement: found '{operator}', expected: in, notin, =, ==, !=, gt, lt")

    def _values(self) -> frozenset[str]:
        self._expect("(")
        values = {self._identifier()}
        while self._peek() == ",":
            self._next()
            values.add(self._identifier())
        self._expect(")")
        return frozenset(values)


def _present(key: str) -> Requirement:
    return lambda labels: key in labels


def _absent(key: str) -> Requirement:
    return lambda labels: key not in labels


def _among(key: str, values: frozenset[str]) -> Requirement:
    return lambda labels: labels.get(key) in values


def _not_among(key: str, values: frozenset[str]) -> Requirement:
    return lambda labels: labels.get(key) not in values


POD_FIELDS = frozenset(
    {
        "metadata.name",
        "metadata.namespace",
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    }
)
EVENT_FIELDS = frozenset(
    {
        "metadata.name",
        "metadata.namespace",
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "reason",
        "type",
    }
)
PLAIN_FIELDS = frozenset({"metadata.name", "metadata.namespace"})
FIELDS_BY_RESOURCE: Mapping[str, frozenset[str]] = {
    "pods": POD_FIELDS,
    "events": EVENT_FIELDS,
    "namespaces": frozenset({"metadata.name", "status.phase"}),
}
"""Which fields may be selected on, per resource: the API refuses all others."""

FIELD_TERM = re.compile(r"(?P<field>[^=!]+)(?P<operator>==|!=|=)(?P<value>.*)")


def field_selector(text: str, plural: str) -> Predicate:
    """Return the predicate of a ``fieldSelector`` on objects of this resource; "" matches everything.

    :raises StatusError: 400, the text is no selector or names a field that cannot be selected on.
    """
    if not text.strip():
        return match_all
    allowed = FIELDS_BY_RESOURCE.get(plural, PLAIN_FIELDS)
    terms: list[tuple[list[str], bool, str]] = []
    for part in text.split(","):
        match = FIELD_TERM.fullmatch(part.strip())
        if match is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        if match["field"] not in allowed:
            raise bad_request(f"field label not supported: {match['field']}")
        terms.append((match["field"].split("."), match["operator"] != "!=", match["value"]))

    def matches(stored: Object) -> bool:
        return all((_value_at(stored, path) == value) == is_equal for path, is_equal, value in terms)

    return matches


def _value_at(stored: Object, path: list[str]) -> str:
    value: object = stored
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return "" if value is None else str(value)
