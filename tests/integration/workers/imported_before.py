"""What a Celery worker imports until it is ready; :mod:`started_by_fork` imports it once."""

from __future__ import annotations

import kombu.transport.redis  # noqa: F401
import setproctitle

from hybrid_workers.preload import preload

preload()
# It must see the memory of arguments and environment before a fork changes its environment.
setproctitle.getproctitle()
