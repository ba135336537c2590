"""Sources of images: folders of pictures, NPZ files, the choice between them, and what can be wrong with them."""

from __future__ import annotations

import numpy as np
import pytest

from fastconv import data
from fastconv.data import Dataset

COLOURS = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}


@pytest.fixture
def pillow():
    return pytest.importorskip("PIL.Image")


@pytest.fixture
def folder(tmp_path, pillow):
    """Three classes of two pictures each, none of the size of another, and files that are no pictures."""
    folder = tmp_path / "pictures"
    for number, (name, colour) in enumerate(COLOURS.items()):
        (folder / name).mkdir(parents=True)
        for picture in range(2):
            pillow.new("RGB", (20 + 7 * number, 30 - 5 * picture), colour).save(folder / name / f"{picture}.png")
    (folder / "red" / "notes.txt").write_text("no picture")
    (folder / "red" / ".hidden.png").write_text("no picture")
    (folder / ".git").mkdir()
    return folder


def test_a_folder_of_pictures_has_its_folders_as_classes(folder):
    dataset = data.image_folder(folder, height=8, width=6)
    assert dataset.classes == ("blue", "green", "red") and len(dataset) == 6
    np.testing.assert_array_equal(dataset.labels, [0, 0, 1, 1, 2, 2])
    assert dataset.images.shape == (6, 8, 6, 3) and dataset.images.dtype == np.uint8
    for (image, label), name in zip(dataset, np.repeat(list(COLOURS), 2), strict=True):
        assert dataset.classes[label] == name
        np.testing.assert_array_equal(image, np.broadcast_to(np.float32(COLOURS[name]) / 255, image.shape))
    assert dataset[1:3].classes == dataset.classes


def test_pictures_may_be_read_as_grey(folder):
    images = data.image_folder(folder, height=4, width=4, channels=1).images
    assert images.shape == (6, 4, 4, 1)
    np.testing.assert_array_equal(images[:, 0, 0, 0], np.repeat([29, 150, 76], 2))  # BT.601


def test_a_folder_without_a_test_set_has_none_and_one_with_it_has_the_same_classes(folder, tmp_path, pillow):
    train, test = data.load(folder, input_shape=(8, 8, 3))
    assert len(train) == 6 and test is None
    whole = tmp_path / "whole"
    whole.mkdir()
    folder.rename(whole / "train")
    assert data.load(whole, input_shape=(8, 8, 3))[1] is None
    (whole / "val" / "red").mkdir(parents=True)
    pillow.new("RGB", (9, 9), "red").save(whole / "val" / "red" / "1.jpg")
    train, test = data.load(whole, input_shape=(8, 8, 3))
    assert len(train) == 6 and test.classes == train.classes and list(test.labels) == [2]
    (whole / "val" / "mauve").mkdir()
    with pytest.raises(ValueError, match="mauve: there is no such class, expected one of: blue, green, red"):
        data.load(whole, input_shape=(8, 8, 3))


def test_what_is_wrong_with_a_folder_is_named(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        data.image_folder(tmp_path / "nowhere", height=8, width=8)
    with pytest.raises(FileNotFoundError, match="nowhere: no such file or folder"):
        data.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="blue: holds no folder of pictures, one for each class"):
        data.image_folder(folder / "blue", height=8, width=8)
    with pytest.raises(ValueError, match="blue: holds neither MNIST's files nor a folder of pictures for each class"):
        data.load(folder / "blue")
    with pytest.raises(ValueError, match="folders of pictures need the input_shape"):
        data.load(folder)
    (folder / "green" / "2.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"2\.png: not an image that can be read"):
        data.load(folder, input_shape=(8, 8, 3))
    for path in (folder / "green").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="green: holds no pictures"):
        data.load(folder, input_shape=(8, 8, 3))


@pytest.mark.parametrize(("size", "left", "right"), [((20, 10), 0, 0), ((40, 10), 0, 0), ((10, 30), 255, 0)])
def test_a_picture_is_resized_and_cut_in_its_middle(tmp_path, pillow, size, left, right):
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    canvas[:, : size[0] // 4] = 255  # a white bar on the left, which a wide picture loses
    pillow.fromarray(canvas).save(tmp_path / "a.png")
    found = data.read_picture(tmp_path / "a.png", height=12, width=12, channels=1)
    assert found.shape == (12, 12, 1) and found.dtype == np.uint8
    assert abs(int(found[6, 0, 0]) - left) < 50 and found[6, -1, 0] == right


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "I;16"])
def test_pictures_of_every_mode_are_read(tmp_path, pillow, mode):
    grey = np.where(np.indices((6, 6)).sum(axis=0) > 5, 255, 0).astype(np.uint8)
    image = pillow.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else pillow.fromarray(grey).convert(mode)
    image.save(tmp_path / "a.png")
    for channels in (1, 3):
        found = data.read_picture(tmp_path / "a.png", height=6, width=6, channels=channels)
        np.testing.assert_array_equal(found, np.repeat(grey[..., None], channels, axis=2))


def test_a_picture_has_one_or_three_channels(tmp_path):
    with pytest.raises(ValueError, match="read_picture: channels is 4, expected 1 or 3"):
        data.read_picture(tmp_path / "a.png", height=6, width=6, channels=4)


def test_an_npz_file_gives_its_arrays(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 4, 6), np.uint8)
    labels = np.array([0, 2, 1, 1, 0], np.uint8)
    path = tmp_path / "a.npz"
    np.savez(path, images=images, labels=labels)
    train, test = data.load(path)
    assert test is None and train.classes == ("0", "1", "2") and train.labels.dtype == np.int64
    np.testing.assert_array_equal(train.images, images[..., None])
    colour = rng.random((2, 4, 6, 3))
    np.savez_compressed(path, images=colour, labels=labels[:2], test_images=colour[:1], test_labels=labels[:1],
                        classes=["a", "b", "c"])  # fmt: skip
    train, test = data.load(str(path))
    assert train.classes == test.classes == ("a", "b", "c") and train.images.dtype == np.float32
    np.testing.assert_array_equal(train.images, colour.astype(np.float32))
    assert len(test) == 1


IMAGES, LABELS = np.zeros((2, 4, 4), np.uint8), np.array([0, 1])
WRONG = {
    "other names": ({"x": IMAGES, "y": LABELS}, "holds x, y, expected images and labels"),
    "nothing": ({}, "holds nothing, expected images and labels"),
    "too few labels": ({"images": IMAGES, "labels": LABELS[:1]}, "labels must be 2 integers from 0"),
    "floats as labels": ({"images": IMAGES, "labels": LABELS * 1.0}, "labels must be 2 integers from 0"),
    "negative labels": ({"images": IMAGES, "labels": -LABELS}, "labels must be 2 integers from 0"),
    "no test labels": ({"images": IMAGES, "labels": LABELS, "test_images": IMAGES}, "test_labels must be 2 integers"),
    "flat images": ({"images": IMAGES.reshape(2, 16), "labels": LABELS}, r"images have shape (2, 16), expected"),
    "no images": ({"images": IMAGES[:0], "labels": LABELS[:0]}, r"images have shape (0, 4, 4), expected"),
    "integers": ({"images": IMAGES.astype(np.int64), "labels": LABELS}, "images are int64, expected uint8, or floats"),
    "range": ({"images": IMAGES + 255.0, "labels": LABELS}, "images have values from 255 to 255, expected [0, 1]"),
    "nan": ({"images": IMAGES * np.nan, "labels": LABELS}, "images have values from nan to nan, expected [0, 1]"),
    "few names": ({"images": IMAGES, "labels": LABELS, "classes": ["a"]}, "there is a label 1, but 1 names of classes"),
    "objects": ({"images": np.array([None]), "labels": LABELS}, "not an NPZ file that can be read: Object arrays"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_an_npz_file_is_named(tmp_path, case):
    arrays, message = WRONG[case]
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError) as raised:
        data.npz(tmp_path / "a.npz")
    assert str(raised.value).startswith(f"{tmp_path / 'a.npz'}: ") and message in str(raised.value)


def test_a_file_that_is_no_npz_file_is_named(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"a\.npz: not an NPZ file"):
        data.load(path)
    np.savez(path, images=IMAGES, labels=LABELS)
    whole = bytearray(path.read_bytes())
    whole[whole.index(b"NUMPY") + 100] ^= 0xFF
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=r"a\.npz: not an NPZ file that can be read: "):
        data.load(path)
    with pytest.raises(FileNotFoundError):
        data.npz(tmp_path / "b.npz")


def test_channels_of_a_source_are_those_that_its_images_are_stored_with(tmp_path):
    Image = pytest.importorskip("PIL.Image")
    assert data.number_of_channels("digits") == 1
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 4, 4, 5), np.uint8), labels=[0, 1])
    assert data.number_of_channels(tmp_path / "a.npz") == 5
    for split, modes in (("test", ("RGB", "L")), ("train", ("L", "LA"))):
        for name, mode in zip("ab", modes, strict=True):
            (tmp_path / "folder" / split / name).mkdir(parents=True)
            Image.new(mode, (4, 4)).save(tmp_path / "folder" / split / name / "0.png")
    assert data.number_of_channels(tmp_path / "folder") == 1
    assert data.number_of_channels(tmp_path / "folder" / "train") == 1
    assert data.number_of_channels(tmp_path / "folder" / "test") == 3
    (tmp_path / "folder" / "train" / "a" / "1.png").write_bytes(b"?")
    with pytest.raises(ValueError, match=r"1\.png: not an image that can be read"):
        data.number_of_channels(tmp_path / "folder")
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        data.number_of_channels(tmp_path / "nowhere")


def test_only_mnist_is_white_on_black(tmp_path):
    assert data.is_white_on_black("digits") and not data.is_white_on_black(tmp_path)
    (tmp_path / "train-images-idx3-ubyte.gz").touch()
    assert data.is_white_on_black(tmp_path)
    assert not data.is_white_on_black(tmp_path / "train-images-idx3-ubyte.gz")


def test_a_split_holds_out_the_same_share_of_each_class_by_seed():
    labels = np.repeat([0, 1, 2], [40, 20, 2])
    dataset = Dataset(np.broadcast_to(np.arange(62, dtype=np.float32)[:, None, None, None], (62, 1, 1, 1)), labels)
    rest, held_out = data.split(dataset, 0.25, seed=1)
    np.testing.assert_array_equal(np.bincount(held_out.labels), [10, 5, 1])
    both = np.concatenate([rest.images, held_out.images]).ravel()
    np.testing.assert_array_equal(np.sort(both), np.arange(62))
    np.testing.assert_array_equal(data.split(dataset, 0.25, seed=1)[1].images, held_out.images)
    assert not np.array_equal(data.split(dataset, 0.25, seed=2)[1].images, held_out.images)


def test_a_split_that_cannot_be_is_refused():
    dataset = Dataset(np.zeros((2, 1, 1, 1), np.float32), np.arange(2))
    with pytest.raises(ValueError, match="split: 2 images are too few to hold out any; each class needs two"):
        data.split(dataset, 0.5)
    with pytest.raises(ValueError, match="split: share is 1, expected 0 < share < 1"):
        data.split(dataset, 1)


def test_labels_without_a_name_are_refused():
    with pytest.raises(ValueError, match="Dataset: there is a label 2, but 2 names of classes"):
        Dataset(np.zeros((3, 1, 1, 1), np.float32), np.arange(3), ("a", "b"))
