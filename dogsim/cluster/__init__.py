"""Compute shards and search for neighbours on many machines with Ray.

`extraction` and `search` are the public interface. `connection` connects to a cluster or starts a
local one, and `workers` runs the workers and replaces those that are lost.
"""
