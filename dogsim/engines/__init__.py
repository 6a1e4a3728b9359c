"""What computes a network: TensorFlow or OpenVINO, and the cache of converted networks."""
