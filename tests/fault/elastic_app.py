"""A worker application whose workloads last for a while, leave marks and change their row. See ``elastic``.

``celery -A tests.fault.elastic_app worker`` with the ELASTIC_* variables set. All but the workload is the real worker.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from hybrid_executor.config import DictConfig
from hybrid_workers.celery_app import create_worker_app
from hybrid_workers.deployment import read_deployment


def run(workload: Any) -> int:
    """Run the same program as a pod."""
    return subprocess.call([sys.executable, "-S", os.environ["ELASTIC_PROGRAM"], workload.model_dump_json()])


app = create_worker_app(
    read_deployment(
        DictConfig(
            {
                "celery": {"broker_url": os.environ["ELASTIC_REDIS"]},
                "hybrid_executor": {"redis_url": os.environ["ELASTIC_REDIS"]},
            }
        )
    ),
    run=run,
)
