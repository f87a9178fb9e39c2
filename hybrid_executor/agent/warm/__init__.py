"""Warm pods: pods that have imported what a task needs, and wait for exactly one attempt.

Belongs here: how many wait (keeper), which attempt gets one (choice), and the hand-over of a workload. A pod belongs to
an attempt from the moment when the API server has changed its label from ``waiting`` to ``claimed`` for that attempt;
only the process that made this change hands a workload over. Redis says which pods are worth trying. The hand-over to
a pod that was made for one attempt is here too (own_pods): from the claim on, it is the same.
"""
