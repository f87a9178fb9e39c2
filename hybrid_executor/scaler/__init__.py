"""How many workers and agents are needed, as numbers over HTTP for an autoscaler such as KEDA.

Belongs here: what is counted, and the server. Reads the store and changes nothing. A number is an answer of Redis that
is at most a few seconds old; where Redis cannot be asked, the answer is 503 and never 0.
"""
