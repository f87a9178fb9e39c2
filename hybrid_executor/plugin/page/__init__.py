"""The page about the executor inside Airflow's UI: how things stand, why a task waits, and what may be done about it.

Belongs here: requests and answers, who may see and do what, and how things look. Does not belong here: finding out how
things stand (``insight``), and doing something about it (``operations``).

* ``app``: the addresses. ``seeing`` answers those that show something, ``doing`` those that change something.
* ``access``: Airflow's own checks of permissions. ``forgery``: protection of actions against other web sites.
* ``reading``: questions to Redis and the database, in few threads and for a limited time. ``answering``: what is shown
  before, after or instead of an answer.
* ``shown``, ``telling``: what is shown of the answers, and to whom.
* ``actions``, ``revoking``: what the buttons do. ``performing``: how. ``audit``: the row in Airflow's audit log.
* ``rendering``, ``wording``, ``addresses``: HTML from templates, texts and links in it, and the headers of each page.
* ``refusals``: pages for requests that are refused.

It is made for an iframe in the UI. Each address is relative, so a path in ``[api] base_url`` needs no special case.
"""
