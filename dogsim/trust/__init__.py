"""Reliability of answers and datasets: prediction sets, their coverage, and the audit.

All of them use leave-one-out scores: the neighbours' vote on each image of the dataset.
"""
