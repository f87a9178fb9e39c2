"""``airflow hybrid ...``: tables in ``definition``, one module per command.

Belongs here: arguments, output, exit codes. Does not belong here: what the commands do; they call other packages.
"""
