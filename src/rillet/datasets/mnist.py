"""MNIST as Keras gives it: 70,000 handwritten digits, from a local file or, where there is a network, a download."""

from __future__ import annotations

from rillet.core.export import public
from rillet.datasets import mnist_files
from rillet.datasets.mnist_files import Array


@public("keras.datasets.mnist.load_data")
def load_data(path: str = "mnist.npz") -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """`(x_train, y_train), (x_test, y_test)`: uint8 images [60000, 28, 28] and [10000, 28, 28], uint8 labels.

    path: an .npz file, absolute or relative to the data folder (RILLET_DATA, else ~/.keras/datasets). Where it is
        missing, the four idx files of the original distribution, packed or not, will do: in the data folder or in its
        folder `mnist`. Where they are missing too, the .npz file is downloaded to its place.

    Raises FileNotFoundError, naming every place, when there is none and no network; ValueError for a damaged file.
    """
    files, folders = mnist_files.npz_places(path), mnist_files.idx_folders()
    arrays = mnist_files.find(files, folders)
    if arrays is None:
        try:
            mnist_files.download(mnist_files.NPZ_ORIGIN, files[0])
        except OSError as error:
            raise mnist_files.not_found(files, folders, error) from error
        arrays = mnist_files.read_npz(files[0])
    return (arrays.x_train, arrays.y_train), (arrays.x_test, arrays.y_test)
