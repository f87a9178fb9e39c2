"""The embedded default: what this project needs of the outside world, small and on loopback.

Belongs here: a Kubernetes API whose pods are real processes of this machine, and an embedded Redis-compatible server.
Does not belong here: anything that a production deployment would run. Nothing outside of this package may depend on how
it works inside; it is reached as its models are, through a kubeconfig and a Redis URL. It imports of the project only
``errors``, and neither Airflow nor a client of the services it stands in for. Importing this package imports nothing
else.
"""
