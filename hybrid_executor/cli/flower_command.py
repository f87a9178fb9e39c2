"""``airflow hybrid flower``: Flower, a monitor for Celery, for our workers. Flower is an extra install."""

from __future__ import annotations

import os
from argparse import Namespace
from importlib.util import find_spec

from hybrid_executor.cli.plainly import plainly
from hybrid_executor.cli.replacement import become, given
from hybrid_executor.config import ConfigSource, process_config
from hybrid_executor.config.celery import CELERY_OPTIONS
from hybrid_executor.errors import ConfigError

_OPTIONS = {option.name: option for option in CELERY_OPTIONS}


@plainly
def flower(args: Namespace) -> None:
    """Replace this process by Flower."""
    if find_spec("flower") is None:
        raise ConfigError("Flower is not installed: pip install flower.")
    words, secrets = flower_arguments(args, process_config())
    os.environ.update(secrets)
    become("celery", ["--app", "hybrid_workers.celery_app", "flower", *words])


def flower_arguments(args: Namespace, conf: ConfigSource) -> tuple[list[str], dict[str, str]]:
    """Return Flower's arguments; those that may hold passwords are returned as environment variables."""
    words = [
        f"--address={args.hostname or _OPTIONS['flower_host'].read(conf)}",
        f"--port={args.port or _OPTIONS['flower_port'].read(conf)}",
    ]
    prefix = args.url_prefix or _OPTIONS["flower_url_prefix"].read(conf)
    words += [f"--url-prefix={prefix}"] if prefix else []
    words += given(conf=args.flower_conf)
    secrets = {
        "FLOWER_BASIC_AUTH": args.basic_auth or _OPTIONS["flower_basic_auth"].read(conf),
        "FLOWER_BROKER_API": args.broker_api,
    }
    return words, {name: text for name, text in secrets.items() if text}
