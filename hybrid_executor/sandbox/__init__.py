"""Small servers for one machine: a Kubernetes API and an embedded Redis-compatible server, on 127.0.0.1.

Belongs here: a Kubernetes API whose pods are real processes of this machine, and the embedded Valkey. Does not belong
here: anything for production. Other packages use these servers like real ones, through a kubeconfig and a Redis URL. Of
the project this package imports only ``errors`` and pure functions of ``kube``; it imports neither Airflow nor clients
of Kubernetes and Redis.
"""
