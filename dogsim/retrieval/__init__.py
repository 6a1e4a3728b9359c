"""Retrieval: identity of images, query expansion, evaluation and its scores, decomposition."""
