"""``python -m hybrid_executor.standalone.create_teams NAME...``: creates the teams that Airflow's database lacks.

Airflow's own ``airflow teams create`` fails for a team that exists.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(names: Sequence[str]) -> int:
    """Create the missing teams."""
    from airflow.models.team import Team

    from hybrid_executor.compat import own_session

    with own_session() as session:
        known = Team.get_all_team_names(session=session)
        session.add_all(Team(name=name) for name in names if name not in known)
        session.commit()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
