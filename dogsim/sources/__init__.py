"""Import datasets from other sources than a folder of images, and export them.

Public interface: `sample` (the drawings installed with dogsim), `stanford_dogs` (photos, which are
downloaded), `matlab` (.mat files, with `matfile`) and `vectors` (features for other programs).
"""
