"""``python -m hybrid_executor.sandbox``: serve a sandbox in the foreground until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
from pathlib import Path

from hybrid_executor.sandbox.server import serve


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m hybrid_executor.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 for any free one")
    parser.add_argument("--kubeconfig", type=Path, help="where to write the kubeconfig")
    parser.add_argument("--capacity", type=int, default=16, help="how many pods run at the same time")
    arguments = parser.parse_args()
    serve(arguments.port, arguments.kubeconfig, arguments.capacity)


if __name__ == "__main__":
    main()
