"""What the commands that change something share: the store, one line for each item, and the exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from hybrid_executor.config import process_config
from hybrid_executor.config.settings import read_redis
from hybrid_executor.config.teams import read_instance
from hybrid_executor.errors import ConfigError
from hybrid_executor.operations.done import Done
from hybrid_executor.store import RedisSettings, Store, open_store


@contextmanager
def configured_store() -> Iterator[Store]:
    """Give the store of the configuration; it needs no other setting than the address of Redis.

    :raises ConfigError: no Redis is configured, or it refuses the user or password.
    :raises StoreUnavailable: it does not answer.
    """
    conf = process_config()
    redis = read_redis(conf)
    if redis is None:
        raise ConfigError("[hybrid_executor] redis_url is not set: write the URL of the Redis that the workers use.")
    store = open_store(RedisSettings(url=redis.url, options=redis.options), instance=read_instance(conf))
    try:
        store.ping()
        yield store
    finally:
        store.close()


def say(done: Done) -> None:
    """Print what became of an item: on standard error if it is not as it was to be."""
    print(done, file=None if done.is_done else sys.stderr, flush=True)


def code_of(results: Iterable[Done]) -> int:
    """Return the exit code: 0 if all is as it was to be, else 1."""
    return int(not all(done.is_done for done in results))


def confirmed(question: str, *, is_agreed: bool) -> bool:
    """Ask on the terminal; return whether the answer is yes.

    :param is_agreed: the answer was given on the command line.
    :raises ConfigError: there is no terminal to ask on.
    """
    if is_agreed:
        return True
    if not sys.stdin.isatty():
        raise ConfigError("This needs a confirmation, and there is no terminal to ask on: add --yes.")
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
