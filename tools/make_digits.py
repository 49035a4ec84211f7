"""Writes src/rillet/datasets/digits.npz from the copy of the UCI digits that scikit-learn carries.

python tools/make_digits.py src/rillet/datasets/digits.npz
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output")
    digits = load_digits()
    images, labels = digits.images.astype(np.uint8), digits.target.astype(np.uint8)
    assert (images == digits.images).all(), "the pixels are whole numbers"
    np.savez_compressed(parser.parse_args().output, images=images, labels=labels)


if __name__ == "__main__":
    main()
