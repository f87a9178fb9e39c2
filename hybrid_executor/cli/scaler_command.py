"""``airflow hybrid scaler``: a server that tells an autoscaler how many slots and agents are needed."""

from __future__ import annotations

import socket
from argparse import Namespace
from pathlib import Path

import uvicorn

from hybrid_executor.cli.plainly import plainly
from hybrid_executor.config import process_config
from hybrid_executor.config.shape import read_configured_settings
from hybrid_executor.errors import ConfigError
from hybrid_executor.scaler.server import make_app
from hybrid_executor.store import open_configured_store

_MOST_REQUESTS = 500
_CONNECT_SECONDS = 1.0
_ANSWER_SECONDS = 2.0


@plainly
def scaler(args: Namespace) -> None:
    """Serve until a signal."""
    settings = read_configured_settings(process_config())
    settings.require_redis()
    store = open_configured_store(settings, connect_seconds=_CONNECT_SECONDS, answer_seconds=_ANSWER_SECONDS, retries=0)
    token_file = Path(args.token_file) if args.token_file else None
    app = make_app(store, settings, token_file=token_file)
    config = uvicorn.Config(app, log_level="warning", access_log=False, limit_concurrency=_MOST_REQUESTS)
    with _listen(args.host, args.port) as listener:
        address, port = listener.getsockname()[:2]
        print(f"Serving /queues/QUEUE and /agents/CLUSTER of instance {settings.instance} at http://{address}:{port}")
        try:
            uvicorn.Server(config).run(sockets=[listener])
        finally:
            store.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigError(
            f"The scaler cannot listen on {host}:{port} ({error.strerror or error}): set --host to an address of this "
            "machine and --port to a free port"
        ) from None
