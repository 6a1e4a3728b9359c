"""Many machines, by Ray: who computes shards and who searches, handed to the steps that ask for it.

`extraction` is the door. `connection` starts Ray or joins a cluster, `workers` are what runs there,
and what is done when one of them is lost.
"""
