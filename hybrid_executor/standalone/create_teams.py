"""``python -m hybrid_executor.standalone.create_teams NAME...``: creates the teams that Airflow's database lacks.

Airflow's own ``airflow teams create`` fails for a team that exists.
"""

from __future__ import annotations

import sys

from hybrid_executor.compat import create_missing_teams

if __name__ == "__main__":
    create_missing_teams(sys.argv[1:])
