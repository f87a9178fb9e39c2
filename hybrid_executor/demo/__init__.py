"""The demo: runs DAGs on a whole Airflow in a temporary home, and checks that each task ran where its queue says.

Belongs here: following runs, judging them, showing them. Does not belong here: starting and stopping processes
(``standalone``). The judgement takes nobody's word: what Redis, the pods' names and Airflow's own database say about a
task must agree.
"""
