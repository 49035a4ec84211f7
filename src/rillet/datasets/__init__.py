"""Data sets: real handwritten digits that come with rillet, and MNIST from a local file or a download."""

from rillet.datasets import digits, mnist, mnist_input_data
from rillet.datasets.digits import load_data as load_digits

__all__ = ["digits", "load_digits", "mnist", "mnist_input_data"]
