"""The picture of a model has all of its blocks, with the shapes of its summary, to scale."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest

from fastconv import analysis, models, nn, visualize

pytest.importorskip("matplotlib")
pillow = pytest.importorskip("PIL.Image")

# What has a box of its own is said in the papers: VGG-16 has 13 convolutions, 5 poolings and 3 dense layers (here also
# an average that does nothing at 224), ResNet-18 has 8 residual blocks, MobileNet v2 has 17 blocks of which 10 have a
# shortcut, U-Net has 4 ways across.
COUNTS = {
    "lenet5": {"convolution": 2, "pooling": 2, "dense": 3},
    "vgg16": {"convolution": 13, "pooling": 6, "dense": 3},
    "resnet18": {"convolution": 1, "pooling": 2, "residual": 8, "dense": 1},
    "mobilenet_v1": {"convolution": 1 + 2 * 13, "pooling": 1, "dense": 1},
    "mobilenet_v2": {"convolution": 2 + 2 + 3 * 6, "residual": 10, "pooling": 1, "dense": 1},
    "efficientnet_b0": {"convolution": 2 + 2 + 3 * 6, "residual": 9, "pooling": 1, "dense": 1},
    "unet": {"convolution": 2 * 9 + 1, "pooling": 4, "enlarging": 4, "concatenation": 4},
    "resnet152": {"convolution": 1, "pooling": 2, "residual": 50, "dense": 1},
}


def blocks_of(name, **options):
    model = models.create(name, initializer=nn.initialize.zeros)
    return model, visualize.architecture(model, **options)


@pytest.mark.parametrize("name", COUNTS)
def test_every_layer_that_counts_is_in_one_block(name):
    model, blocks = blocks_of(name)
    counts = dict.fromkeys((block.kind for block in blocks[1:]), 0)
    for block in blocks[1:]:
        counts[block.kind] += block.times
    assert counts == COUNTS[name] and len(blocks) <= 28
    assert sum(block.parameters for block in blocks) == sum(value.size for value in model.parameters.values())
    shapes = {row.output_shape for row in analysis.summarize(model)}
    assert blocks[0] == visualize.Block("input", "input", model.input_shape, 1, 0, ())
    assert all(block.shape in shapes for block in blocks[1:])


def test_ways_across_a_unet_lead_from_one_side_to_the_other():
    _, blocks = blocks_of("unet")
    ways = [(source, at) for at, block in enumerate(blocks) for source in block.sources if source < at - 1]
    assert len(ways) == 4
    for source, at in ways:
        assert blocks[at].kind == "concatenation" and blocks[source].kind == "convolution"
        assert blocks[at].shape == (*blocks[source].shape[:2], 2 * blocks[source].shape[2])
    cropped = visualize.architecture(models.unet(padding="valid", base_channels=2))
    assert [block.kind for block in cropped] == [block.kind for block in blocks]
    assert {block.sources for block in blocks[1:] if block.kind != "concatenation"} == {
        (at - 1,) for at, block in enumerate(blocks) if at and block.kind != "concatenation"
    }


def test_neighbours_are_joined_where_there_are_too_many_and_the_ways_stay():
    _, blocks = blocks_of("resnet152")
    assert [(block.name, block.times) for block in blocks if block.kind == "residual"] == [
        ("layer1.0", 3), ("layer2.0", 8), ("layer3.0", 36), ("layer4.0", 3)
    ]  # fmt: skip
    assert len(blocks_of("resnet152", most=100)[1]) == 1 + 2 + 50 + 2
    model, joined = blocks_of("unet", most=3)
    assert [block.sources for block in joined] == [block.sources for block in visualize.architecture(model)]


def test_layers_of_several_kinds_and_of_one_s_own_are_blocks_too():
    class Half(nn.ReLU):
        def _forward(self, input):
            return input[:, ::2, ::2], ()

    inner = nn.Sequential(conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm(4), pool=nn.MaxPool2d(2))
    model = nn.Sequential(
        norm=nn.BatchNorm(3), inner=inner, half=Half(), act=nn.ReLU(), gate=nn.SqueezeExcitation(4, 2)
    )
    blocks = visualize.architecture(model, (10, 10, 3))
    assert [(block.name, block.kind, block.shape) for block in blocks] == [
        ("input", "input", (10, 10, 3)), ("inner", "layers", (4, 4, 4)), ("half", "other", (2, 2, 4))
    ]  # fmt: skip
    assert sum(block.parameters for block in blocks) == sum(value.size for value in model.parameters.values())
    line = visualize.architecture(nn.Conv1d(2, 4, 3), (9, 2))
    assert [block.shape for block in line] == [(9, 2), (7, 4)]
    for drawn in (blocks, line, visualize.architecture(nn.Conv3d(1, 2, 3), (5, 6, 7, 1))):
        assert visualize.draw_architecture(drawn)[1:4] == b"PNG"
    with pytest.raises(ValueError, match="input_shape is None, and the model has none"):
        visualize.architecture(model)


@pytest.mark.parametrize("name", ["lenet5", "vgg16", "unet"])
def test_boxes_are_drawn_to_scale_from_left_to_right(name):
    _, blocks = blocks_of(name)
    drawing = visualize.draw_architecture(blocks, format="svg").decode()
    corners = [
        np.array(re.findall(r"[ML] (\S+) (\S+)", path), float)
        for path in re.findall(r'<path d="(M [^"]+z)\s*"[^>]*stroke-width: 0.4', drawing)
    ]
    fronts = [np.ptp(face, axis=0) for face in corners[2 : 3 * len(blocks) : 3]]
    lefts = [face[:, 0].min() for face in corners[2 : 3 * len(blocks) : 3]]
    assert len(fronts) == len(blocks) and lefts == sorted(lefts)
    heights = np.array([block.shape[0] if len(block.shape) == 3 else 1 for block in blocks])
    widths = np.sqrt([block.shape[-1] for block in blocks])
    for found, wanted in zip(np.transpose(fronts), (widths, heights), strict=True):
        scale = found.max() / wanted.max()
        large = found > 0.0501 * 72
        np.testing.assert_allclose(found[large], scale * wanted[large], rtol=1e-4)
        assert large.mean() > 0.5 and (scale * wanted[~large] <= 0.0501 * 72).all()


def test_labels_name_blocks_and_shapes():
    _, blocks = blocks_of("resnet152")
    drawing = visualize.draw_architecture(blocks, format="svg").decode()
    for words in ("layer3.0 (×36)  14×14×1024", "input  224×224×3", "60,192,808 parameters", "residual"):
        assert f"<!-- {words} -->" in drawing, words
    picture = pillow.open(io.BytesIO(visualize.draw_architecture(blocks)), formats=["PNG"])
    assert picture.width > 600 and np.ptp(np.asarray(picture.convert("L"))) > 200
    with pytest.raises(ValueError, match="draw_architecture: format is 'jpg', expected 'png' or 'svg'"):
        visualize.draw_architecture(blocks, format="jpg")
    with pytest.raises(ValueError, match="draw_architecture: there are no blocks"):
        visualize.draw_architecture([])
