"""``airflow hybrid ...``: tables in ``definition``, one module per command.

Belongs here: arguments, output, exit codes. The work itself is done in other packages, which the commands call.
"""
