"""Training on a dataset: an embedding of its features, its network, or a classifier.

Public interface: `deep_ranking` (train a head on stored features), `fine_tune` (train the network
on images), `classifier` (train a softmax layer) and `apply_head` (embed a dataset with a head).
`training`, `triplets`, `ranking_losses`, `proxies`, `discriminant` and `augmentation` are their
parts.
`building_blocks` and `architectures` are for the lessons.
"""
