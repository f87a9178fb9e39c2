"""What this executor costs, beside upstream's executors in the same run.

``measures`` holds one file per benchmark. ``inside`` runs in a process of each side, with the Python that the side is
installed in. The rest starts servers and processes, lets the sides take turns and shows what came out.

Ratios of one run are what counts; absolute figures are those of one machine and day.
"""
