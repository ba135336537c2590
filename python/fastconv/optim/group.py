"""Groups: parameters that learn at another rate, or decay otherwise, than the rest of their model."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fastconv.nn import Layer


@dataclass(frozen=True)
class Group:
    """Factors on the learning rate and the weight decay of some parameters.

    Parameters
    ----------
    prefix : str
        The parameter of this name, or the parameters of the layer of this name: "conv1" stands for "conv1.weight" and
        "conv1.bias", but not for "conv10.bias". Empty, it stands for all.
    learning_rate, weight_decay : float, optional
        What the optimizer's own is multiplied with; None leaves it to the groups before. At a learning rate of 0 a
        parameter stays as it is.

    Raises
    ------
    ValueError
        If a factor is negative or not finite.

    Notes
    -----
    Where several groups speak of a parameter, the last one counts, for each of the two factors by itself.

    Examples
    --------
    All layers but the last one learn at a tenth of the rate:

    >>> from fastconv import models, optim
    >>> groups = [optim.Group("", learning_rate=0.1), optim.Group("fc3", learning_rate=1)]
    >>> optimizer = optim.Adam(models.lenet5(), learning_rate=1e-3, groups=groups)
    """

    prefix: str
    learning_rate: float | None = None
    weight_decay: float | None = None

    def __post_init__(self) -> None:
        for name in ("learning_rate", "weight_decay"):
            factor = getattr(self, name)
            if factor is not None and not 0 <= factor < math.inf:
                raise ValueError(f"Group {self.prefix!r}: {name} is {factor}, expected 0 <= {name} < inf")

    def holds(self, name: str) -> bool:
        """Return whether the parameter of this name belongs to the group."""
        return not self.prefix or name == self.prefix or name.startswith(f"{self.prefix}.")


class Rates(NamedTuple):
    """Learning rate and weight decay; or what they are multiplied with, for one parameter."""

    learning_rate: float
    weight_decay: float


def without_decay(model: Layer) -> list[Group]:
    """Return groups that keep weight decay from the biases and the scales of normalizations.

    A decay keeps weights from growing where the loss would hardly notice; a bias or the scale of a normalized channel
    is one number per channel, and has to go where it must. These are the parameters with one axis.

    References
    ----------
    T. He et al.: Bag of tricks for image classification with convolutional neural networks. CVPR 2019, section 3.1.

    Examples
    --------
    >>> from fastconv import nn, optim
    >>> model = nn.Sequential(conv=nn.Conv2d(1, 4, 3), norm=nn.BatchNorm(4))
    >>> [group.prefix for group in optim.without_decay(model)]
    ['conv.bias', 'norm.scale', 'norm.bias']
    """
    return [Group(name, weight_decay=0) for name, value in model.parameters.items() if value.ndim <= 1]


def resolve(owner: str, names: Collection[str], groups: Sequence[Group]) -> dict[str, Rates]:
    """Return the factors of every parameter; raise ValueError if a group has none."""
    for group in groups:
        if not any(group.holds(name) for name in names):
            raise ValueError(f"{owner}: no parameter is named {group.prefix!r}; there are {', '.join(names)}")
    return {name: _factors(name, groups) for name in names}


def _factors(name: str, groups: Sequence[Group]) -> Rates:
    learning_rate = weight_decay = 1.0
    for group in groups:
        if group.holds(name):
            learning_rate = learning_rate if group.learning_rate is None else group.learning_rate
            weight_decay = weight_decay if group.weight_decay is None else group.weight_decay
    return Rates(learning_rate, weight_decay)
