"""What is going on: the one place that the commands, the page in Airflow's UI and the metrics ask.

It reads Redis and Airflow's database, nothing else, and changes nothing there. What follows from the things that were
read is decided by pure functions; reading is done by the others.

Does not belong here: how something is shown (``cli``, ``plugin``), and what a person may do about it (``operations``).
"""
