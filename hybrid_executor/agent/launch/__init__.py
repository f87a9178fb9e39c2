"""The launch path of one cluster, from an entry of the launch stream to a pod and the record of it.

Read it in this order: ``launcher`` (the loop), ``intake`` (which entries it works on), ``entries`` (the values that its
steps hand on), ``preparation`` and ``pod_factory`` (from a record to a manifest; ``mutation_hook`` is the deployment's
part), ``queue`` with ``barrier`` and ``pace`` (whose turn it is, and how quickly), ``creation`` (the call to the API
server and its errors), ``recording`` (outcomes, written to the records). Does not belong here: what a pod does once it
exists (``watch``).
"""
