"""Weights from PyTorch: networks written with torch, under torchvision's names, and ours give the same outputs."""

from __future__ import annotations

import numpy as np
import pytest

from fastconv import models, nn

torch = pytest.importorskip("torch")
tnn = torch.nn


class Plain(tnn.Module):
    """torchvision's AlexNet and VGG: numbered features, an average, a numbered classifier."""

    def __init__(self, features, size, channels, classifier):
        super().__init__()
        self.features = tnn.Sequential(*features)
        self.avgpool = tnn.AdaptiveAvgPool2d(size)
        self.classifier = tnn.Sequential(*classifier(channels * size * size))

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def torch_alexnet():
    features = [
        tnn.Conv2d(3, 64, 11, stride=4, padding=2), tnn.ReLU(), tnn.MaxPool2d(3, 2),
        tnn.Conv2d(64, 192, 5, padding=2), tnn.ReLU(), tnn.MaxPool2d(3, 2),
        tnn.Conv2d(192, 384, 3, padding=1), tnn.ReLU(), tnn.Conv2d(384, 256, 3, padding=1), tnn.ReLU(),
        tnn.Conv2d(256, 256, 3, padding=1), tnn.ReLU(), tnn.MaxPool2d(3, 2),
    ]  # fmt: skip
    return Plain(features, 6, 256, lambda inputs: [
        tnn.Dropout(), tnn.Linear(inputs, 32), tnn.ReLU(), tnn.Dropout(), tnn.Linear(32, 32), tnn.ReLU(),
        tnn.Linear(32, 9),
    ])  # fmt: skip


def torch_vgg11(batch_norm=False):
    features, channels = [], 3
    for width in (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool", 512, 512, "pool"):
        if width == "pool":
            features.append(tnn.MaxPool2d(2, 2))
            continue
        features.append(tnn.Conv2d(channels, width, 3, padding=1))
        features += [tnn.BatchNorm2d(width)] if batch_norm else []
        features.append(tnn.ReLU())
        channels = width
    return Plain(features, 7, 512, lambda inputs: [
        tnn.Linear(inputs, 32), tnn.ReLU(), tnn.Dropout(), tnn.Linear(32, 32), tnn.ReLU(), tnn.Dropout(),
        tnn.Linear(32, 9),
    ])  # fmt: skip


class Block(tnn.Module):
    """torchvision's BasicBlock (two 3x3 convolutions) and Bottleneck (1x1, 3x3, 1x1)."""

    def __init__(self, inputs, width, stride, bottleneck):
        super().__init__()
        outputs = 4 * width if bottleneck else width
        shapes = (
            [(inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)]
            if bottleneck
            else [(inputs, width, 3, stride), (width, width, 3, 1)]
        )
        self.count = len(shapes)
        for number, (source, target, kernel, step) in enumerate(shapes, 1):
            conv = tnn.Conv2d(source, target, kernel, stride=step, padding=kernel // 2, bias=False)
            setattr(self, f"conv{number}", conv)
            setattr(self, f"bn{number}", tnn.BatchNorm2d(target))
        self.downsample = None
        if stride != 1 or inputs != outputs:
            conv = tnn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
            self.downsample = tnn.Sequential(conv, tnn.BatchNorm2d(outputs))

    def forward(self, x):
        y = x
        for number in range(1, self.count + 1):
            y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
            y = torch.relu(y) if number < self.count else y
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class TorchResNet(tnn.Module):
    def __init__(self, blocks, bottleneck):
        super().__init__()
        self.conv1 = tnn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = tnn.BatchNorm2d(64)
        self.maxpool = tnn.MaxPool2d(3, stride=2, padding=1)
        channels = 64
        for stage, count in enumerate(blocks, 1):
            width, layers = 32 * 2**stage, []
            for block in range(count):
                layers.append(Block(channels, width, 2 if stage > 1 and block == 0 else 1, bottleneck))
                channels = 4 * width if bottleneck else width
            setattr(self, f"layer{stage}", tnn.Sequential(*layers))
        self.fc = tnn.Linear(channels, 9)

    def forward(self, x):
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


def conv_norm_relu6(inputs, outputs, kernel, stride=1, groups=1):
    conv = tnn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return tnn.Sequential(conv, tnn.BatchNorm2d(outputs), tnn.ReLU6())


class Inverted(tnn.Module):
    def __init__(self, inputs, outputs, stride, expansion):
        super().__init__()
        hidden = inputs * expansion
        layers = [conv_norm_relu6(inputs, hidden, 1)] if expansion != 1 else []
        layers.append(conv_norm_relu6(hidden, hidden, 3, stride, groups=hidden))
        layers += [tnn.Conv2d(hidden, outputs, 1, bias=False), tnn.BatchNorm2d(outputs)]
        self.conv = tnn.Sequential(*layers)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.conv(x) if self.adds else self.conv(x)


class TorchMobileNetV2(tnn.Module):
    def __init__(self):
        super().__init__()
        features, channels = [conv_norm_relu6(3, 32, 3, 2)], 32
        for expansion, width, count, stride in [
            (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
        ]:  # fmt: skip
            for block in range(count):
                features.append(Inverted(channels, width, stride if block == 0 else 1, expansion))
                channels = width
        self.features = tnn.Sequential(*features, conv_norm_relu6(channels, 1280, 1))
        self.classifier = tnn.Sequential(tnn.Dropout(0.2), tnn.Linear(1280, 9))

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


TWINS = {
    "alexnet": (torch_alexnet, {"hidden": 32}),
    "vgg11": (torch_vgg11, {"hidden": 32}),
    "vgg11 with batch norm": (lambda: torch_vgg11(batch_norm=True), {"hidden": 32, "batch_norm": True}),
    "resnet18": (lambda: TorchResNet((2, 2, 2, 2), False), {}),
    "resnet50": (lambda: TorchResNet((3, 4, 6, 3), True), {}),
    "mobilenet_v2": (TorchMobileNetV2, {}),
}


def twins(name):
    """A torch network with random weights and averages, and ours of the same kind."""
    make, options = TWINS[name]
    torch.manual_seed(0)
    theirs = make().eval()
    for module in theirs.modules():
        if isinstance(module, tnn.BatchNorm2d):
            tnn.init.uniform_(module.weight, 0.5, 1.5)
            tnn.init.normal_(module.bias, std=0.2)
            tnn.init.normal_(module.running_mean, std=0.2)
            tnn.init.uniform_(module.running_var, 0.5, 1.5)
        elif isinstance(module, tnn.Conv2d | tnn.Linear):
            tnn.init.kaiming_normal_(module.weight)  # so that signals don't fade, and an error anywhere is seen
    ours = models.create(name.split()[0], num_classes=9, initializer=nn.initialize.zeros, **options)
    return theirs, ours.eval()


@pytest.mark.parametrize("name", TWINS)
def test_a_model_with_weights_from_torch_computes_what_torch_does(name):
    theirs, ours = twins(name)
    models.load_torch_state_dict(ours, theirs.state_dict())
    images = np.random.default_rng(0).standard_normal((2, 64, 64, 3)).astype(np.float32)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    spread = expected.std()
    assert spread > 0.01, "nothing to compare"
    np.testing.assert_allclose(ours(images), expected, rtol=0, atol=1e-4 * max(1, np.abs(expected).max()))


def test_weights_come_from_a_safetensors_file_too(tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    theirs, ours = twins("resnet18")
    state = {name: value.numpy() for name, value in theirs.state_dict().items()}
    numpy.save_file(state, tmp_path / "resnet18.safetensors")
    models.load_torch_state_dict(ours, tmp_path / "resnet18.safetensors")
    np.testing.assert_array_equal(ours.parameters["fc.weight"], state["fc.weight"].T)
    np.testing.assert_array_equal(
        ours.buffers["layer2.0.shortcut.bn.running_var"], state["layer2.0.downsample.1.running_var"]
    )
    (tmp_path / "broken.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ValueError, match=r"broken\.safetensors: not a whole safetensors file"):
        models.load_torch_state_dict(ours, tmp_path / "broken.safetensors")
    with pytest.raises(FileNotFoundError):
        models.load_torch_state_dict(ours, tmp_path / "missing.safetensors")


def test_dtypes_become_those_of_the_model():
    ours = models.small_resnet(depth=8, dtype="float64")
    theirs = {"fc.weight": np.zeros((10, 64), np.float16)}
    with pytest.raises(ValueError, match=r"missing conv1\.weight; missing bn1\.weight"):
        models.load_torch_state_dict(ours, theirs)
    _, resnet = twins("resnet18")
    state = twins("resnet18")[0].half().state_dict()
    models.load_torch_state_dict(resnet, state)
    assert {value.dtype for value in resnet.state_dict().values()} == {np.dtype("float32")}


def test_weights_that_do_not_fit_are_refused_as_a_whole():
    theirs, ours = twins("resnet18")
    state = theirs.state_dict()
    before = ours.state_dict()
    state["fc.weight"] = state["fc.weight"][:5]
    state["extra"] = state.pop("bn1.bias")
    message = r"missing bn1\.bias; unexpected extra; fc\.weight has shape \(5, 512\), expected \(9, 512\)"
    with pytest.raises(ValueError, match=message):
        models.load_torch_state_dict(ours, state)
    for name, value in ours.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    with pytest.raises(ValueError, match="the model is neither an AlexNet, VGG, ResNet nor MobileNet v2"):
        models.load_torch_state_dict(models.lenet5(), {})
