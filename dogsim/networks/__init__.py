"""What turns pixels into features: which networks there are, their weights, what runs them.

Doors: `extractor` (a loaded network and its recipe), `extractor_for` (that of a dataset),
`backbones` (the table), `heads` (a learned embedding on top), `building_blocks` (for teaching). The
rest serves these. A network, of `keras_network` or `onnx_network`, tells what of the recipe it
decides, and becomes a function by way of `engines`.
"""
