"""Many machines, by Ray: who computes shards and who searches, handed to the steps that ask for it.

`extraction` and `search` are the doors. `connection` starts Ray or joins a cluster, `workers` are
what runs there, and what is done when one of them is lost.
"""
