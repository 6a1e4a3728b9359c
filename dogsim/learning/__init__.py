"""What can be learned from a dataset: which features to weigh, or a better network.

Doors: `deep_ranking` (a head from stored features), `fine_tune` (the network, from pictures),
`project` (a dataset through a head). `triplets`, `discriminant`, `hold_out` and `training` are the
parts that they are made of.
"""
