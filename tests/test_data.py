"""Data: the digits, MNIST's files and what can be wrong with them, batches, augmentation and image files."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

from fastconv import data
from fastconv.data import Dataset, RandomAffine

NAMES = {(part, kind): f"{part}-{kind}-idx{3 if kind == 'images' else 1}-ubyte"
         for part in ("train", "t10k") for kind in ("images", "labels")}  # fmt: skip


def idx(array):
    array = np.asarray(array, np.uint8)
    return struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def folder(tmp_path):
    """A small data set in MNIST's format, half of it gzipped."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 6), ("t10k", 4)):
        images = idx(rng.integers(0, 256, (count, 28, 28)))
        (tmp_path / NAMES[part, "images"]).write_bytes(images)
        (tmp_path / (NAMES[part, "labels"] + ".gz")).write_bytes(gzip.compress(idx(np.arange(count))))
    return tmp_path


@pytest.fixture(scope="module")
def digits():
    return data.digits()


def test_the_digits_are_all_there(digits):
    train, test = digits
    assert (len(train), len(test)) == (7500, 1500)
    for part in digits:
        images, labels = part.arrays()
        assert images.shape == (len(part), 28, 28, 1) and images.dtype == np.float32 and labels.dtype == np.int64
        assert images.min() == 0 and images.max() == 1
        share = np.bincount(labels, minlength=10) / len(part)
        assert len(share) == 10 and share.min() > 0.08 and share.max() < 0.13


def test_no_test_digit_is_among_the_training_digits(digits):
    train, test = ({image.tobytes() for image in part.images} for part in digits)
    assert not train & test


def test_a_dataset_gives_examples_slices_and_selections(digits):
    _, test = digits
    image, label = test[np.int64(3)]
    assert test[3][1] == label
    assert image.shape == (28, 28, 1) and type(label) is int
    np.testing.assert_array_equal(test[2:5].images[1], image)
    np.testing.assert_array_equal(test[np.array([3, 3])].labels, [label, label])
    assert repr(test[:7]) == "Dataset(7 images of 28×28×1)"
    assert len(list(test[:3])) == 3


def test_a_dataset_with_too_few_labels_is_refused():
    with pytest.raises(ValueError, match=r"Dataset: labels have shape \(2,\), expected \(3,\)"):
        Dataset(np.zeros((3, 4, 4, 1), np.float32), np.zeros(2, np.int64))


def test_mnist_reads_files_gzipped_or_not(folder):
    train, test = data.mnist(folder)
    assert (len(train), len(test)) == (6, 4)
    raw = np.frombuffer((folder / NAMES["train", "images"]).read_bytes()[16:], np.uint8).reshape(6, 28, 28, 1)
    np.testing.assert_array_equal(train.images, raw.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(test.labels, np.arange(4))


def damage(content):
    """Ways in which an image file goes wrong, and what is said of it."""
    half = gzip.compress(content)[:-300]
    flipped = bytearray(gzip.compress(content))
    flipped[len(flipped) // 2] ^= 0xFF
    return {
        "truncated": (content[:-1], "holds 4719 bytes, expected 4720 for the shape (6, 28, 28) that it states"),
        "too long": (content + b"\0", "holds 4721 bytes, expected 4720"),
        "cut in the header": (content[:10], "holds 10 bytes, expected a header of 16"),
        "cut in the magic number": (content[:3], "holds 3 bytes, expected images in IDX format (0x00000803)"),
        "empty": (b"", "holds 0 bytes, expected images in IDX format"),
        "labels": (idx([1, 2, 3]), "starts with 0x00000801 (labels), expected images in IDX format (0x00000803)"),
        "foreign": (b"\x89PNG\r\n\x1a\n" + bytes(90), "starts with 0x89504e47, expected images in IDX format"),
        "floats": (b"\0\0\x0d\x03" + content[4:], "starts with 0x00000d03, expected images"),
        "huge": (struct.pack(">4I", 0x803, 2**31, 2**31, 2**31), "holds 16 bytes, expected 99035203142830421991929938"),
        "no images": (struct.pack(">4I", 0x803, 0, 28, 28), "holds 6 labels, expected 0"),
        "truncated gzip": (half, "the gzip file is damaged: "),
        "flipped gzip": (bytes(flipped), "the gzip file is damaged: "),
    }


@pytest.mark.parametrize("case", damage(bytes(16)))
def test_a_damaged_or_mislabelled_file_is_named_with_what_is_wrong(folder, case):
    path = folder / NAMES["train", "images"]
    content, message = damage(path.read_bytes())[case]
    path.write_bytes(content)
    with pytest.raises(ValueError) as raised:
        data.mnist(folder)
    assert str(raised.value).startswith(str(folder)) and message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_images_file_in_place_of_labels_is_named(folder):
    (folder / NAMES["train", "labels"]).write_bytes((folder / NAMES["train", "images"]).read_bytes())
    with pytest.raises(ValueError, match=r"labels-idx1-ubyte: starts with 0x00000803 \(images\), expected labels"):
        data.mnist(folder)


def test_counts_that_disagree_are_an_error(folder):
    (folder / NAMES["train", "labels"]).write_bytes(idx(np.arange(5)))
    with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte: holds 5 labels, expected 6, one for each image"):
        data.mnist(folder)


def test_a_data_set_without_images_is_an_error(folder):
    (folder / NAMES["train", "images"]).write_bytes(struct.pack(">4I", 0x803, 0, 28, 28))
    (folder / NAMES["train", "labels"]).write_bytes(idx([]))
    with pytest.raises(ValueError, match="train-images-idx3-ubyte: holds no images"):
        data.mnist(folder)


def test_a_missing_file_or_folder_is_named(folder):
    (folder / (NAMES["t10k", "labels"] + ".gz")).unlink()
    with pytest.raises(FileNotFoundError, match=r"holds neither t10k-labels-idx1-ubyte nor t10k-labels-idx1-ubyte.gz"):
        data.mnist(folder)
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        data.mnist(folder / "nowhere")


def numbered(count):
    """A data set whose images say which one they are."""
    labels = np.arange(count)
    return Dataset(np.broadcast_to(labels.astype(np.float32)[:, None, None, None], (count, 2, 2, 1)), labels)


@pytest.mark.parametrize("shuffle", [False, True])
def test_an_epoch_holds_each_image_once_beside_its_label(shuffle):
    batches = list(data.batches(numbered(10), 4, shuffle=shuffle))
    assert [len(labels) for _, labels in batches] == [4, 4, 2]
    labels = np.concatenate([labels for _, labels in batches])
    np.testing.assert_array_equal(np.concatenate([images[:, 0, 0, 0] for images, _ in batches]), labels)
    np.testing.assert_array_equal(np.sort(labels), np.arange(10))
    assert shuffle != np.array_equal(labels, np.arange(10))


def test_a_last_batch_that_is_not_full_can_be_dropped():
    assert [len(labels) for _, labels in data.batches(numbered(10), 4, drop_last=True)] == [4, 4]
    assert data.number_of_batches(10, 4) == 3 and data.number_of_batches(10, 4, drop_last=True) == 2


def order(**options):
    return [int(label) for _, labels in data.batches(numbered(50), 7, shuffle=True, **options) for label in labels]


def test_the_order_follows_from_seed_and_epoch():
    assert order(seed=1, epoch=2) == order(seed=1, epoch=2)
    orders = [order(seed=seed, epoch=epoch) for seed in range(3) for epoch in range(3)]
    assert all(orders.count(one) == 1 for one in orders)


@pytest.mark.parametrize("start", [0, 1, 7, 8])
def test_starting_in_the_middle_of_an_epoch_gives_the_same_rest(digits, start):
    part = digits[1][:100]
    options = {"shuffle": True, "seed": 3, "epoch": 2, "augment": RandomAffine()}
    whole = list(data.batches(part, 13, **options))
    rest = list(data.batches(part, 13, start=start, **options))
    assert len(rest) == len(whole) - start
    for one, other in zip(rest, whole[start:], strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_every_batch_is_augmented_in_its_own_way():
    dataset = Dataset(np.random.default_rng(0).random((1, 9, 9, 1), np.float32)[[0] * 6], np.zeros(6, np.int64))
    images = np.concatenate([images for epoch in (0, 1) for images, _ in
                             data.batches(dataset, 2, epoch=epoch, augment=RandomAffine())])  # fmt: skip
    assert len({image.tobytes() for image in images}) == 12


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"seed": -1}, {"epoch": -1}, {"start": -1}])
def test_numbers_that_make_no_batches_are_refused_at_the_call(options):
    with pytest.raises(ValueError, match=r"batches: .*expected a positive batch_size"):
        data.batches(numbered(3), **({"batch_size": 2} | options))


def warped(images, shift=(0, 0), degrees=0.0):
    """Warp all images by the same amount, through the same code as the random one."""
    count, angle = len(images), np.radians(np.float32(degrees))
    shifts = np.repeat(np.array(shift, np.float32)[:, None], count, axis=1)
    augment = RandomAffine(shift=max(map(abs, shift)), rotation=abs(degrees))
    return augment._warp(images, shifts, np.full(count, np.cos(angle)), np.full(count, np.sin(angle)))


@pytest.fixture
def images():
    return np.random.default_rng(0).random((3, 7, 9, 2), np.float32)


def test_no_shift_and_no_turn_change_nothing(images):
    np.testing.assert_array_equal(RandomAffine(0, 0)(images, np.random.default_rng(0)), images)


@pytest.mark.parametrize("shift", [(2, 0), (0, -3), (-1, 2), (20, 0)])
def test_a_shift_by_whole_pixels_moves_them_and_brings_zeros(images, shift):
    padded = np.pad(images, ((0, 0), (20, 20), (20, 20), (0, 0)))
    expected = padded[:, 20 + shift[0] : 27 + shift[0], 20 + shift[1] : 29 + shift[1]]
    np.testing.assert_array_equal(warped(images, shift), expected)


def test_a_shift_by_half_a_pixel_is_the_mean_of_two(images):
    expected = (images[:, :-1] + images[:, 1:]) / 2
    np.testing.assert_allclose(warped(images, (0.5, 0))[:, :-1], expected, rtol=1e-6)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_quarter_turn_is_a_quarter_turn(quarters):
    images = np.random.default_rng(0).random((3, 8, 8, 1), np.float32)
    expected = np.rot90(images, -quarters, axes=(1, 2))
    np.testing.assert_allclose(warped(images, degrees=90.0 * quarters), expected, atol=1e-5)


def test_augmented_digits_keep_their_range_and_most_of_their_ink(digits):
    images = digits[1].images[:500]
    changed = RandomAffine()(images, np.random.default_rng(0))
    assert changed.dtype == np.float32 and changed.shape == images.shape and changed is not images
    assert changed.min() >= 0 and changed.max() <= 1 + 1e-6
    assert changed.sum() == pytest.approx(images.sum(), rel=0.01)
    assert not any(np.array_equal(one, other) for one, other in zip(images, changed, strict=True))


def test_augmentation_follows_from_the_generator(digits):
    images = digits[1].images[:5]
    one, same, other = (RandomAffine()(images, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_small_images_get_zeros_around_them():
    padded = data.pad_images(np.ones((2, 28, 27, 3), np.float32), 32, 32)
    assert padded.shape == (2, 32, 32, 3) and padded.dtype == np.float32
    assert padded[:, 2:30, 2:29].all() and padded.sum() == 2 * 28 * 27 * 3
    assert data.pad_images(padded, 32, 32) is padded
    with pytest.raises(ValueError, match="images are 32×32, expected 28×40 at most"):
        data.pad_images(padded, 28, 40)


@pytest.fixture
def digit(digits):
    return np.rint(digits[1].images[0] * 255).astype(np.uint8)[..., 0]


def test_an_image_file_like_mnist_is_read_as_it_is(tmp_path, digit):
    image = pytest.importorskip("PIL.Image")
    image.fromarray(digit).save(tmp_path / "digit.png")
    found, inverted = data.read_image(tmp_path / "digit.png")
    assert not inverted and found.dtype == np.float32
    np.testing.assert_array_equal(found[..., 0], digit.astype(np.float32) / np.float32(255))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "I;16"])
def test_dark_on_bright_is_inverted_in_every_mode(tmp_path, digit, mode):
    pillow = pytest.importorskip("PIL.Image")
    digit = np.where(digit > 127, 255, 0).astype(np.uint8)
    if mode == "I;16":
        image = pillow.fromarray((255 - digit).astype(np.uint16) * 257)
    else:
        image = pillow.fromarray(255 - digit).convert(mode)
    image.save(tmp_path / "digit.png")
    found, inverted = data.read_image(tmp_path / "digit.png")
    assert inverted
    np.testing.assert_allclose(found[..., 0], digit / 255, atol=1e-6)


def test_transparent_pixels_are_paper(tmp_path, digit):
    pillow = pytest.importorskip("PIL.Image")
    ink = np.zeros((28, 28, 4), np.uint8)
    ink[..., 3] = digit
    pillow.fromarray(ink).save(tmp_path / "digit.png")
    found, inverted = data.read_image(tmp_path / "digit.png")
    assert inverted
    np.testing.assert_allclose(found[..., 0], digit / 255, atol=1e-6)


def test_a_large_oblong_image_keeps_its_proportions(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    canvas = np.zeros((280, 140), np.uint8)
    canvas[40:240, 40:100] = 255
    pillow.fromarray(canvas).save(tmp_path / "bar.png")
    found, inverted = data.read_image(tmp_path / "bar.png")
    assert found.shape == (28, 28, 1) and not inverted
    rows, columns = np.nonzero(found[..., 0] > 0.5)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 23, 11, 16)


@pytest.mark.parametrize("content", [b"no image", b"", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"])
def test_a_file_that_is_no_image_is_named(tmp_path, content):
    pytest.importorskip("PIL")
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.png: not an image that can be read"):
        data.read_image(tmp_path / "x.png")


def test_a_missing_image_is_a_missing_file(tmp_path):
    pytest.importorskip("PIL")
    with pytest.raises(FileNotFoundError):
        data.read_image(tmp_path / "x.png")
