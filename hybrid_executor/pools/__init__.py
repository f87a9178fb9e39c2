"""How routed work is handed out, one module per pool.

Belongs here: turning work into what its pool takes (a Celery message, an entry for the launchers). Does not belong
here: which pool gets it (routing), and what happens after (agent, workers).
"""
