"""``python -m hybrid_executor.sandbox``: serve a sandbox in the foreground until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
from fnmatch import translate
from pathlib import Path

from hybrid_executor.sandbox.node import MISSING_IMAGES, NodeSettings
from hybrid_executor.sandbox.server import serve


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m hybrid_executor.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 for any free one")
    parser.add_argument("--kubeconfig", type=Path, help="where to write the kubeconfig")
    parser.add_argument("--capacity", type=int, default=16, help="how many pods run at the same time")
    parser.add_argument("--missing-image", action="append", default=[], help="images that no registry has")
    parser.add_argument("--failing-image", action="append", default=[], help="images whose registry fails each time")
    arguments = parser.parse_args()
    node = NodeSettings(
        pod_capacity=arguments.capacity,
        missing_images=(*MISSING_IMAGES, *map(_whole, arguments.missing_image)),
        failing_images=tuple(map(_whole, arguments.failing_image)),
    )
    serve(arguments.port, arguments.kubeconfig, node)


def _whole(pattern: str) -> str:
    """Return a shell pattern as a regular expression that the whole image must match."""
    return rf"\A{translate(pattern)}"


if __name__ == "__main__":
    main()
