"""How reliable an answer is, and a dataset: prediction sets, their coverage, and the audit.

All of them use leave-one-out scores: the neighbours' vote on each image of the dataset.
"""
