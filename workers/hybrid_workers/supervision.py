"""Adds to methods of the Task SDK's classes. Where the SDK has no such method, nothing is changed."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any

Method = Callable[..., Any]
_MARK = "_hybrid_adds"


def find_class(name: str, module: str = "supervisor") -> type | None:
    """Return a class of what the Task SDK has for the execution of tasks, by default of its supervisors."""
    try:
        return getattr(import_module(f"airflow.sdk.execution_time.{module}"), name, None)
    except ImportError:
        return None


def add_to_method(owner: type | None, name: str, make: Callable[[Method], Method]) -> bool:
    """Replace a method of a class, once in this process.

    :param make: returns the new method, which is to call the one that it gets.
    :return: whether the class has such a method.
    """
    method: Method | None = getattr(owner, name, None)
    if method is None or hasattr(method, _MARK):
        return method is not None
    new = wraps(method)(make(method))
    setattr(new, _MARK, True)
    setattr(owner, name, new)
    return True
