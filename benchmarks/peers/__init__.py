"""rillet beside TensorFlow, PyTorch and JAX: the same programs, in turns."""
