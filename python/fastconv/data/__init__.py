"""Images with labels: digits that come with the package, files and folders, batches and augmentation."""

from fastconv.data.affine import RandomAffine
from fastconv.data.augment import Augmentation, ColorJitter, Mixup, RandomCrop, RandomFlip, augmentation
from fastconv.data.batches import Batch, batches, number_of_batches
from fastconv.data.dataset import Dataset, digits, mnist, split
from fastconv.data.idx import read_idx
from fastconv.data.images import pad_images, read_image, read_picture
from fastconv.data.prefetch import prefetch
from fastconv.data.sources import image_folder, is_white_on_black, load, npz, number_of_channels

__all__ = [
    "Augmentation",
    "Batch",
    "ColorJitter",
    "Dataset",
    "Mixup",
    "RandomAffine",
    "RandomCrop",
    "RandomFlip",
    "augmentation",
    "batches",
    "digits",
    "image_folder",
    "is_white_on_black",
    "load",
    "mnist",
    "npz",
    "number_of_batches",
    "number_of_channels",
    "pad_images",
    "prefetch",
    "read_idx",
    "read_image",
    "read_picture",
    "split",
]
