"""The agent: a small process that launches pods, watches them and repairs what was missed.

Belongs here: what an agent decides and does between Redis and the Kubernetes API, and the process around it. Does not
belong here: how either of them is talked to (``store``, ``kube``), and anything of Airflow but its configuration and
the pod mutation hook. Any number of agents may run; any of them may be killed at any line. Importing this package
imports nothing else.
"""
