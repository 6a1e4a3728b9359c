"""Import datasets from other sources than a folder of images, and export them.

Public interface: `sample` (the drawings installed with dogsim), `stanford_dogs` and `caltech101`
(images that are downloaded, with `archives`), `matlab` (.mat files, with `matfile`) and `vectors`
(features for other programs).
"""
