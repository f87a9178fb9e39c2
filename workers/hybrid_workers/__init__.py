"""The far side: Celery workers that run what the executor hands out.

Belongs here: the Celery application, the claim-run-finish of one workload, what a worker process tells the store about
itself, and the command that starts it. Does not belong here: deciding what runs where, and reading Airflow's database.
It meets the executor only in Redis: it imports of ``hybrid_executor`` the store and what lies below it, never the
executor, the agent or the pools.
"""
