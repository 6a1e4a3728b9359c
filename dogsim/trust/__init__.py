"""How far an answer can be trusted, and a dataset: `confidence`, `coverage` and `audit`.

All of it rests on what the pictures of a dataset say of each other, each left out once.
"""
