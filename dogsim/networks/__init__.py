"""Networks that map images to features: backbones, weights, preprocessing, views and heads.

`extractor` has a loaded network with its recipe and `extractor_for` that of a dataset;
`trained_models` has learned embeddings and `feature_maps` the maps behind the features. The other
modules serve these.
"""
