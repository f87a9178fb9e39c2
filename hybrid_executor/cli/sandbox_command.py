"""``airflow hybrid sandbox``: a small Kubernetes API on 127.0.0.1 whose pods are processes of this machine."""

from __future__ import annotations

from argparse import Namespace

from hybrid_executor.cli.replacement import become, given


def sandbox(args: Namespace) -> None:
    """Replace this process by a sandbox."""
    become(
        "hybrid_executor.sandbox",
        given(
            port=args.port,
            kubeconfig=args.kubeconfig,
            capacity=args.capacity,
            missing_image=args.missing_image,
            failing_image=args.failing_image,
        ),
    )
