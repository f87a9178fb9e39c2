"""How routed work is given to what runs it, one module per pool.

Belongs here: what the executor asks of a pool, and turning work into what its pool needs (a Celery message, an entry
for the launchers). Does not belong here: which pool gets it (routing), and what happens after (agent, workers).
"""
