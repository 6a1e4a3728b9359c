"""A user's folder of pictures, and the features of it that are kept while a dataset is made.

Doors: `listing` (what is there), `reading` (pictures to features, stretch by stretch), `shards`
(what is kept of a run that is stopped, in the folder of `partial`, and `kept`, which of it holds).
"""
