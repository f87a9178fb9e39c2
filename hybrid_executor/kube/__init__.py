"""The only code that talks to Kubernetes, and the rules about pods.

Belongs here: requests and watches as raw JSON, their errors, and the pure decisions about pods: what a task's pod looks
like, what its status means, what an answer to its creation means.
Does not belong here: when to launch, to watch, to delete or to try again (the agent does that), anything of Airflow
(the mutation hook comes in as a function) or of Redis. "Could not ask" is never an empty answer: it is an error.
"""
