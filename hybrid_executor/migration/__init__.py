"""What has to change so that a deployment of another executor runs on this one: ``airflow hybrid migrate``.

Reads an ``airflow.cfg``, environment variables, Dag files and pod templates, and returns a
:class:`~hybrid_executor.migration.report.Report`. Nothing is imported from Dag files, no server is asked, and nothing
is written here: the command does that. What a Dag or a cluster decides while it runs does not belong here.
"""
