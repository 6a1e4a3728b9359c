"""Storage of datasets: the HDF5 file, datasets of many shards, and decisions on single images."""
