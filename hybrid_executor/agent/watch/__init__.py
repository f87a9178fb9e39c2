"""The watch path of one namespace, from a pod's event to the record of its attempt.

Read it in this order: ``watcher`` (the loop), ``relist`` (a list compared with the records), ``events`` (what the watch
brings), ``decision`` (what is seen of a pod and what follows), ``patience`` and ``log_tails`` (verdicts that wait),
``recording`` (changes, written to the records). Does not belong here: how pods come to be (``launch``).
"""
