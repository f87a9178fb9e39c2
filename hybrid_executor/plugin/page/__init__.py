"""The page about the executor inside Airflow's UI: how things stand, why a task waits, and what may be done about it.

Belongs here: requests and answers, who may see and do what, and how things look. Does not belong here: finding out how
things stand (``insight``), and doing something about it (``operations``).

* ``app``: the addresses and what each answers.
* ``access``: Airflow's own checks of permissions. ``forgery``: protection of actions against other web sites.
* ``reading``: questions to Redis and the database, in few threads and for a limited time.
* ``shown``: what is shown of the answers, and to whom.
* ``actions``: what a button does. ``audit``: the row that it writes into Airflow's audit log.
* ``rendering``: HTML from templates, and the headers of each page.

It is made for an iframe in the UI. Each address is relative, so a path in ``[api] base_url`` needs no special case.
"""
