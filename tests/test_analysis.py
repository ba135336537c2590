"""What networks cost and see: known answers, and what gradients say."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fastconv import analysis, cli, models, nn


def create(name, **options):
    return models.create(name, initializer=nn.initialize.zeros, **options)


def row_of(rows, name):
    return next(row for row in rows if row.name == name)


def test_output_sizes_of_a_resnet_stem():
    assert analysis.output_size((224, 224), 7, stride=2, padding=3) == (112, 112)
    assert analysis.output_size(112, 3, stride=2, padding=1) == 56
    rows = analysis.summarize(create("resnet50"))
    assert [row.output_shape for row in rows[:3]] == [(112, 112, 64), (112, 112, 64), (56, 56, 64)]


@pytest.mark.parametrize(("arguments", "options", "expected"), [
    ((10, 3), {}, 8), ((10, 3), {"dilation": 3}, 4), ((10, 3), {"padding": "same", "stride": 3}, 4),
    ((10, 3), {"padding": ((2, 0),)}, 10), ((10, 3), {"padding": "full"}, 12), ((10, 3), {"stride": 2}, 4),
    ((10, 3), {"stride": 2, "ceil_mode": True}, 5), (((9, 8, 7), (3, 2, 1)), {}, (7, 7, 7)), (((9,), 3), {}, (7,)),
])  # fmt: skip
def test_output_sizes_worked_out_by_hand(arguments, options, expected):
    assert analysis.output_size(*arguments, **options) == expected


def test_impossible_sizes_are_refused():
    with pytest.raises(ValueError, match="conv1d: "):
        analysis.output_size(3, 5)
    with pytest.raises(ValueError, match=r"output_size: input_size is \(1, 2, 3, 4\), expected one to three extents"):
        analysis.output_size((1, 2, 3, 4), 1)


@pytest.mark.parametrize(("name", "options", "layer", "size"), [
    ("vgg16", {}, "conv5_3", 196), ("vgg16", {}, "pool5", 212),
    ("alexnet", {}, "conv5", 163), ("alexnet_2012", {}, "conv5", 163),
    ("resnet50", {"stride_in_1x1": True}, "layer4.2", 483), ("resnet50", {}, "layer4.2", 427),
    ("resnet18", {}, "layer4.1", 435), ("lenet5", {}, "conv2", 14),
])  # fmt: skip
def test_receptive_fields_that_are_known(name, options, layer, size):
    assert analysis.receptive_field(create(name, **options))[layer].size == (size, size)


@pytest.mark.parametrize(("name", "options", "giga"), [
    ("alexnet", {}, 0.714), ("vgg16", {}, 15.470), ("resnet18", {}, 1.814), ("resnet50", {}, 4.089),
    ("resnet50", {"stride_in_1x1": True}, 3.858), ("mobilenet_v1", {}, 0.569), ("mobilenet_v2", {}, 0.301),
    ("efficientnet_b0", {}, 0.386), ("efficientnet_b7", {}, 37.746),
])  # fmt: skip
def test_multiply_adds_are_those_that_papers_and_torchvision_state(name, options, giga):
    flops = sum(row.flops for row in analysis.summarize(create(name, **options)))
    assert flops / 2e9 == pytest.approx(giga, rel=0.002)


@pytest.mark.parametrize("name", models.MODELS)
def test_the_rows_of_a_model_count_all_its_parameters(name):
    model = create(name)
    rows = analysis.summarize(model)
    assert sum(row.parameters for row in rows) == sum(value.size for value in model.parameters.values())
    assert len({row.name for row in rows}) == len(rows) and model.training
    if name != "unet":
        assert rows[-1].output_shape == (rows[-1].activation_bytes // 4,)


def test_two_kernels_of_three_see_what_one_of_five_does_with_fewer_parameters():
    two = nn.Sequential(nn.Conv2d(16, 16, 3, bias=False), nn.Conv2d(16, 16, 3, bias=False))
    one = nn.Sequential(nn.Conv2d(16, 16, 5, bias=False))
    small, large = analysis.summarize(two, (9, 9, 16)), analysis.summarize(one, (9, 9, 16))
    assert small[-1].output_shape == large[-1].output_shape == (5, 5, 16)
    assert small[-1].receptive_field == large[-1].receptive_field
    assert sum(row.parameters for row in small) == 2 * 9 * 256 < large[0].parameters == 25 * 256


def ones(shape, seed, dtype):
    return np.ones(shape, dtype)


def conv(kernel, channels=1, **options):
    return nn.Conv2d(1, channels, kernel, initializer=ones, **options)


def enlarging(kernel, **options):
    return nn.ConvTranspose2d(1, 1, kernel, initializer=ones, **options)


STACKS = {
    "strides": lambda: [conv(3, stride=2), conv(3, dilation=2), conv((1, 4), stride=(1, 3), padding=1)],
    "names": lambda: [conv(4, stride=2, padding="same"), conv(4, padding="same_lower"), conv(2, padding="full")],
    "pools": lambda: [nn.AvgPool2d(3, stride=2, padding=1), nn.AvgPool2d(2), nn.AvgPool2d((2, 1), stride=1)],
    "borders": lambda: [nn.ZeroPad(((3, 1), (0, 2))), conv(3), nn.Crop(((1, 0), (4, 2))), nn.GELU()],
    "separable": lambda: [nn.SeparableConv2d(1, 1, 5, stride=2, initializer=ones)],
    "branches": lambda: [
        nn.Concatenate(nn.Sequential(conv(3, padding=1), conv(3, stride=2, padding=1)), conv(1, stride=2)),
        nn.Residual(nn.Conv2d(2, 2, 3, padding=1, initializer=ones)),
    ],
    "divided": lambda: [nn.AdaptiveAvgPool2d((10, 11)), conv(2)],
    # From here on, outputs aren't all alike: the largest field counts, and its middle is that of all outputs.
    "adaptive": lambda: [conv(3), nn.AdaptiveAvgPool2d((9, 19))],
    "resized": lambda: [conv(3), nn.Upsample(size=(19, 19))],
    "enlarging": lambda: [conv(3), enlarging(4, stride=2, padding=1), conv(2)],
    "overlapping": lambda: [enlarging(3, stride=2, padding="same"), conv(3, stride=2)],
    "corners": lambda: [nn.Upsample(1.7, "linear", align_corners=True), conv(2)],
    "linear": lambda: [conv(3), nn.Upsample(2, "linear"), conv(2)],
    "antialiased": lambda: [nn.Upsample(0.5, "linear", antialias=True), conv(2)],
    "shuffled": lambda: [conv(3, channels=4), nn.PixelShuffle(2)],
}
ALIKE = list(STACKS)[: list(STACKS).index("adaptive")]


def seen_pixels(stack, image, position):
    """First and last pixel, of each axis, whose gradient isn't zero."""
    grad_output = np.zeros_like(stack(image))
    grad_output[(0, *position)] = 1
    gradient = stack.backward(grad_output)[0, :, :, 0]
    return [np.flatnonzero(gradient.any(axis))[[0, -1]] for axis in (1, 0)]


@pytest.mark.parametrize("name", STACKS)
def test_a_receptive_field_is_where_pixels_have_a_gradient(name):
    stack = nn.Sequential(*STACKS[name]())
    image = np.random.default_rng(0).random((1, 50, 55, 1), np.float32) + 1
    field = list(analysis.receptive_field(stack, image.shape[1:]).values())[-1]
    output_shape = stack(image).shape[1:-1]
    slack = 0 if name in ALIKE else 1  # of pixels, because positions between them are rounded
    longest = [0, 0]
    for shift in range(4):
        position = [extent // 2 - 2 + shift for extent in output_shape]
        for axis, (first, last) in enumerate(seen_pixels(stack, image, position)):
            middle = field.centre[axis] + position[axis] * field.stride[axis]
            reach = (field.size[axis] - 1) / 2
            assert middle - reach - slack <= first and last <= middle + reach + slack, (position, axis)
            longest[axis] = max(longest[axis], last - first + 1)
    for axis in (0, 1):
        assert abs(longest[axis] - field.size[axis]) <= slack, (field, longest)


def test_a_model_without_an_input_shape_needs_one():
    model = nn.Sequential(
        nn.Conv1d(2, 3, 5, seed=0, dtype="float64"), nn.BatchNorm(3, dtype="float64"), nn.GlobalAvgPool()
    )
    with pytest.raises(ValueError, match="summarize: input_shape is None, and the model has none"):
        analysis.summarize(model)
    before = model.state_dict()
    rows = analysis.summarize(model, (20, 2))
    assert [row.kind for row in rows] == ["Conv1d", "BatchNorm", "GlobalAvgPool"]
    assert rows[0].activation_bytes == 16 * 3 * 8 and rows[0].flops == 2 * 16 * 5 * 2 * 3
    assert rows[2].receptive_field == analysis.ReceptiveField((20,), (16,), (9.5,))
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_a_forward_pass_waits_for_its_backward_pass_while_the_model_is_summarized():
    model = nn.Sequential(nn.Conv2d(1, 1, 3, seed=0))
    output = model(np.ones((1, 5, 5, 1), np.float32))
    analysis.summarize(model, (5, 5, 1))
    assert model.training and model.backward(output).shape == (1, 5, 5, 1)


def test_the_command_prints_a_table(capsys):
    assert cli.main(["summary", "vgg16"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["layer", "kind", "output", "parameters", "MFLOP", "KiB", "sees", "every"]
    assert lines[1].split() == ["conv1_1", "Conv2d", "224x224x64", "1,792", "173.4", "12,544", "3", "1"]
    assert lines[-1].split()[:3] == ["total", "138,357,544", "30,940.5"]
    assert max(map(len, lines)) < 100


def test_the_command_prints_json_for_another_input(capsys):
    assert cli.main(["summary", "resnet18", "--input", "64x96x1", "--classes", "5", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["input_shape"] == [64, 96, 1]
    assert document["layers"][0]["output_shape"] == [32, 48, 64]
    assert document["layers"][-1]["output_shape"] == [5]
    assert document["layers"][2]["receptive_field"] == {"size": [11, 11], "stride": [4, 4], "centre": [0, 0]}
    assert document["parameters"] == sum(layer["parameters"] for layer in document["layers"])


@pytest.mark.parametrize(("line", "message"), [
    ("summary resnet19", "fastconv: unknown model 'resnet19', expected one of: "),
    ("summary alexnet --input 8x8x3", "fastconv: "),
    ("summary alexnet --input 8x8", "fastconv summary: argument --input: '8x8' isn't a shape such as 224x224x3"),
])  # fmt: skip
def test_the_command_refuses_what_it_cannot_do(line, message, capsys):
    try:
        code = cli.main(line.split())
    except SystemExit as ended:
        code = ended.code
    error = capsys.readouterr().err
    assert code == 2 and error.startswith(message) and error.count("\n") == 1
