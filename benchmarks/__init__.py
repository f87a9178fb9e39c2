"""What this executor costs, beside upstream's in the same run.

Belongs here: starting both, measuring from outside, and saying what came out. Does not belong here: anything that
either side would have to know of. Ratios of one run are what counts; absolute figures are those of one machine and day.
"""
