"""Storage of features: the HDF5 dataset file, and datasets of many shards."""
