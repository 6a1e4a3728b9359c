"""Where datasets come from, other than a user's own folder, and go to.

Doors: `sample` (the drawings that come along), `stanford_dogs` (photos, fetched), `matlab` (.mat
files, through `matfile`), `vectors` (features for other programs).
"""
