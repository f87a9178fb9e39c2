"""What a person may do to a running deployment: drain, stop, revoke, forget.

Commands and the page in Airflow's UI call the same functions. Each of them says for each item what was done, and may be
repeated at any time. An error is a :class:`~hybrid_executor.errors.HybridError` that says what is wrong.

* ``workers``, ``agents``: orders to running processes, and waiting until they show the new state.
* ``attempts``, ``records``: revoke attempts, and forget their records.
* ``snapshot``, ``differences``, ``reconcile``: read what the store, Airflow and the clusters say, compare it, and
  repair what is safe.
* ``queues``: which queues no worker serves.

Does not belong here: how results are shown (``cli``, ``plugin``), and the repairs that schedulers and agents make by
themselves (``executor``, ``agent``).
"""
