"""Augmentations: what each does to an image, from definitions; and preparation by threads."""

from __future__ import annotations

import itertools
import threading
import time

import numpy as np
import pytest

from fastconv import data
from fastconv.data import ColorJitter, Dataset, Mixup, RandomAffine, RandomCrop, RandomFlip


@pytest.fixture
def images():
    return np.random.default_rng(0).random((40, 7, 9, 3), np.float32)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_a_flip_mirrors_about_half_of_the_images(images):
    changed = RandomFlip()(images, rng())
    mirrored = np.array([np.array_equal(one, other[:, ::-1]) for one, other in zip(changed, images, strict=True)])
    same = np.array([np.array_equal(one, other) for one, other in zip(changed, images, strict=True)])
    assert (mirrored ^ same).all() and 10 < mirrored.sum() < 30
    np.testing.assert_array_equal(RandomFlip(0)(images, rng()), images)
    np.testing.assert_array_equal(RandomFlip(1)(images, rng()), images[:, :, ::-1])


def test_a_crop_is_a_piece_of_the_padded_image_and_every_place_occurs():
    image = np.random.default_rng(0).random((5, 6, 2), np.float32)
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
    places = {padded[y : y + 5, x : x + 6].tobytes(): (y, x) for y, x in itertools.product(range(3), range(3))}
    changed = RandomCrop(1)(np.repeat(image[np.newaxis], 200, axis=0), rng())
    assert {places[one.tobytes()] for one in changed} == set(places.values())


def test_jitter_follows_its_definition(images):
    weights = np.array([0.299, 0.587, 0.114])
    changed = ColorJitter(0.3, 0.2, 0.4)(images, rng(5))
    strengths = np.array([0.3, 0.2, 0.4])[:, None, None]
    factors = rng(5).uniform(1 - strengths, 1 + strengths, (3, len(images), 1))[..., 0]
    for image, found, (brightness, contrast, saturation) in zip(images, changed, factors.T, strict=True):
        x = image.astype(np.float64) * brightness
        mean = (x @ weights).mean()
        x = mean + contrast * (x - mean)
        luma = (x @ weights)[..., None]
        x = luma + saturation * (x - luma)
        np.testing.assert_allclose(found, np.clip(x, 0, 1), atol=1e-5)
    assert changed.dtype == np.float32


def test_saturation_leaves_grey_images_alone(images):
    grey = images[..., :1]
    np.testing.assert_allclose(ColorJitter(0, 0, 1)(grey, rng()), grey, atol=1e-6)


def test_mixup_mixes_images_and_labels_in_the_same_proportion():
    labels = np.arange(6)
    images = np.zeros((6, 1, 6, 1), np.float32)
    images[labels, 0, labels] = 1  # an image is its own one-hot label
    mixed, targets = Mixup(1.0, num_classes=6)(images, labels, rng())
    np.testing.assert_array_equal(mixed[:, 0, :, 0], targets)
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)
    assert ((targets > 0).sum(axis=1) <= 2).all() and ((targets > 0).sum(axis=1) == 2).any()
    assert (targets >= 0).all() and targets.dtype == np.float32


@pytest.mark.parametrize("text", ["affine", "shift", "rotate=5", "flip", "crop=2", "color=0.1"])
def test_every_named_augmentation_follows_from_the_generator_and_keeps_shape_and_type(images, text):
    augment = data.augmentation(text)
    one, same, other = (augment(images, rng(seed)) for seed in (0, 0, 1))
    assert one.shape == images.shape and one.dtype == np.float32 and one is not images
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_names_of_augmentations_say_what_they_do():
    assert data.augmentation("affine") == RandomAffine(2, 10)
    assert data.augmentation("shift=3") == RandomAffine(3, 0)
    assert data.augmentation("rotate") == RandomAffine(0, 10)
    assert data.augmentation("color=0.5") == ColorJitter(0.5, 0.5, 0.5)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: data.augmentation("blur"), "unknown augmentation 'blur', expected some of: affine, shift, rotate, flip"),
    (lambda: data.augmentation("crop=1.5"), "augmentation 'crop=1.5': '1.5' is no number of the kind int"),
    (lambda: data.augmentation("shift="), "augmentation 'shift=': '' is no number of the kind float"),
    (lambda: data.augmentation("shift=-1"), "RandomAffine: shift is -1.0 and rotation 0"),
    (lambda: data.augmentation("flip=2"), "RandomFlip: probability is 2.0, expected 0 <= probability <= 1"),
    (lambda: data.augmentation("color=nan"), "ColorJitter: brightness is nan"),
    (lambda: RandomCrop(-1), "RandomCrop: padding is -1, expected 0 <= padding"),
    (lambda: Mixup(0, 3), "Mixup: alpha is 0 and num_classes 3, expected positive numbers"),
])  # fmt: skip
def test_augmentations_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


CHANGES = {"shuffle": True, "seed": 3, "epoch": 2, "augment": [RandomAffine(), RandomFlip(), ColorJitter()],
           "mixup": Mixup(0.4, 10)}  # fmt: skip


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("start", [0, 4])
def test_threads_prepare_the_same_batches_in_the_same_order(workers, start):
    part = data.digits()[1][:60]
    whole = list(data.batches(part, 8, **CHANGES))
    rest = list(data.batches(part, 8, start=start, workers=workers, **CHANGES))
    assert len(rest) == len(whole) - start
    for one, other in zip(rest, whole[start:], strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
        assert one[1].shape == (len(one[0]), 10)


def test_several_augmentations_are_applied_in_their_order():
    dataset = Dataset(np.ones((1, 2, 2, 1), np.float32), np.zeros(1, np.int64))
    changes = [lambda images, generator: images + 1, lambda images, generator: images * 10]
    ((images, _),) = data.batches(dataset, 1, augment=changes)
    assert (images == 20).all()


def test_bytes_become_floats_on_the_way():
    dataset = Dataset(np.full((3, 2, 2, 1), 51, np.uint8), np.zeros(3, np.int64))
    for images, _ in data.batches(dataset, 2):
        assert images.dtype == np.float32 and images.max() == np.float32(0.2)
    assert dataset[0][0].dtype == np.float32 and dataset[:2].images.dtype == np.uint8


def prefetching():
    return [thread for thread in threading.enumerate() if thread.name.startswith("fastconv-prefetch")]


def test_results_come_in_order_however_long_each_takes():
    def prepare(number):
        time.sleep(0.002 * (number % 3))
        return number

    assert list(data.prefetch(prepare, range(20), workers=4)) == list(range(20))
    assert not prefetching()


def test_no_more_is_prepared_than_was_agreed():
    begun = []
    results = data.prefetch(begun.append, range(100), workers=2, ahead=3)
    assert not begun
    for taken in range(1, 6):
        next(results)
        deadline = time.monotonic() + 10
        while len(begun) < taken + 3 and time.monotonic() < deadline:
            time.sleep(0.001)
        assert len(begun) == taken + 3
    results.close()
    assert not prefetching() and len(begun) == 8


def test_an_exception_comes_in_its_turn_and_ends_the_threads():
    def prepare(number):
        if number == 2:
            raise OSError("no such picture")
        return number

    results = data.prefetch(prepare, range(100), workers=2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(OSError, match="no such picture"):
        next(results)
    assert not prefetching() and list(results) == []


def test_leaving_the_loop_ends_the_threads():
    for number in data.prefetch(abs, range(1000), workers=2):
        if number == 3:
            break
    assert not prefetching()


@pytest.mark.parametrize("options", [{"workers": 0}, {"workers": -1}, {"ahead": 0}])
def test_prefetching_needs_positive_numbers(options):
    with pytest.raises(ValueError, match=r"prefetch: workers=.*expected positive numbers"):
        data.prefetch(abs, range(3), **options)
