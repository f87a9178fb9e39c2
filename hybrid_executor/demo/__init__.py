"""The demo: runs DAGs on a whole Airflow in a temporary home, and checks that each task ran where its queue says.

Belongs here: following, checking and showing runs. Does not belong here: starting and stopping processes
(``standalone``). The check compares Redis, the names of the pods and Airflow's own database.
"""
