"""The module that Airflow imports to find this provider's example Dags; there are none, so it is empty.

Airflow derives its name from the name of the distribution (``airflow.dag_processing.bundles.manager``), and logs a
traceback in every task where it cannot be imported. Everything else is in ``hybrid_executor``.
"""
