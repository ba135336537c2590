"""Images with labels: digits that come with the package, MNIST's files, batches and augmentation."""

from fastconv.data.augment import RandomAffine
from fastconv.data.batches import Augmentation, batches, number_of_batches
from fastconv.data.dataset import Dataset, digits, mnist
from fastconv.data.idx import read_idx
from fastconv.data.images import pad_images, read_image

__all__ = [
    "Augmentation",
    "Dataset",
    "RandomAffine",
    "batches",
    "digits",
    "mnist",
    "number_of_batches",
    "pad_images",
    "read_idx",
    "read_image",
]
