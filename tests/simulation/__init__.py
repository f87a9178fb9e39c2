"""The real code of schedulers and workers in one thread, under virtual time, with faults that a seed chooses.

``world`` runs actors as greenlets: one goes on until it waits. Each command to Redis and each question to the database
waits for its time on the network, so each of them is a place where another actor may go on. A seed decides everything:
the load, the times on the network, and the faults. So a failure is repeated by its seed alone.

* ``world``: virtual time, actors, processes that are killed or paused. ``plan``: what a seed chooses.
* ``redis_server``, ``redis_client``: a Redis in memory that runs the store's own Lua, and a way to it that has faults.
* ``airflow_model``: rows of Airflow's database, the scheduler's loop and the API that tasks talk to.
* ``scheduler``, ``worker``, ``agent``: one process of each, of the real code. ``waits``: how often they look for work.
* ``invariants``: what must hold. ``history``: one run. ``shrinking``: the smallest plan that still fails.
* ``mutants``: guards that are removed one at a time, to see that the simulation notices.

Run it: ``python -m tests.simulation --help``.
"""
