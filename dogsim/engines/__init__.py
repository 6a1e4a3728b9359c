"""Engines that run networks: the choice of one, TensorFlow, OpenVINO, the cache, quantization."""
