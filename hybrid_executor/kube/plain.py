"""Values of an ``executor_config`` as JSON values."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Mapping
from enum import Enum
from typing import Any

from hybrid_executor.errors import TaskRejected
from hybrid_executor.kube.models import is_model, plain


def json_like(value: object, *, where: str) -> Any:
    """Return ``value`` made of dicts, lists, text, numbers and booleans; None in a dict is left out.

    Models of the Kubernetes library become dicts in the API's spelling.

    :param where: the place in executor_config, for the error.
    :raises TaskRejected: something in it has no JSON form.
    """
    if value is None or (isinstance(value, str | bool | int | float) and not isinstance(value, Enum)):
        return value
    if isinstance(value, Mapping):
        return {
            str(key): json_like(item, where=f"{where}[{str(key)!r}]") for key, item in value.items() if item is not None
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [json_like(item, where=f"{where}[{place}]") for place, item in enumerate(value)]
    if isinstance(value, Enum):
        return json_like(value.value, where=where)
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    if is_model(value):
        return json_like(_plain_model(value, where), where=where)
    raise TaskRejected(
        f"{where} is a {type(value).__name__}, which a pod cannot have: write text, numbers, lists, dicts or "
        "models of kubernetes.client."
    )


def _plain_model(model: object, where: str) -> Any:
    try:
        return plain(model)
    except AttributeError as exc:
        # Models pickled with another version of the library lack the fields that were added later.
        raise TaskRejected(
            f"{where}: this {type(model).__name__} was made by another version of the kubernetes library ({exc}). "
            "Let the Dag be parsed again with the installed one."
        ) from exc
