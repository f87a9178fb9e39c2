"""Parsed parents: a Dag file is parsed once, in a process that forks the processes of its tasks.

Three kinds of processes take part. The nursery is forked early from the worker's main process, with one thread and no
connection. It forks a parsed parent for each Dag file, and that forks a task's process whenever a slot asks for one.
Slots send the ends of their supervisor's sockets along, so a parsed parent never sees a token. Belongs here: when a
parsed file may be used, and how its processes live and end. Whatever is unusual goes Airflow's ordinary way.
"""
