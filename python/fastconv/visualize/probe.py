"""How one looks inside a network without changing it: a twin of the model, with probes around its layers.

A probe stands for its layer and keeps what passes: the output, and on the way back the gradient of it. So nothing has
to know in which order, or by which branches, a container calls its layers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv import nn
from fastconv._arguments import Array, floats


class Probe(nn.Layer):
    """A layer around another that keeps its last output and the gradient of that.

    Parameters
    ----------
    layer : Layer
        What is looked at.

    Attributes
    ----------
    output, gradient : ndarray or None
        Of the last pass forward and backward.
    source : ndarray or None
        Where it is set, the backward pass starts here: with this gradient, whatever comes from above.
    """

    def __init__(self, layer: nn.Layer) -> None:
        super().__init__()
        self.layer = layer
        self.output: Array | None = None
        self.gradient: Array | None = None
        self.source: Array | None = None

    def _forward(self, input: Array) -> tuple[Array, tuple[Any, ...]]:
        self.output = self.layer(input)
        return self.output, ()

    def _backward(self, grad_output: Array, saved: tuple[Any, ...], input_gradient: bool) -> Array | None:
        self.gradient = grad_output if self.source is None else self.source
        return self.layer.backward(self.gradient, input_gradient=input_gradient)


class Inside:
    """A model's twin that computes as in evaluation, with a probe around every layer.

    Parameters
    ----------
    operation : str
        Who asks, for messages.
    model : Layer
        Stays as it is: its mode, its gradients, its averages and its generators.
    gradients : bool, default False
        Whether there is to be a way back. Layers keep for it what they need, but act as in evaluation: all is frozen,
        so that batch normalization uses its averages, and a dropout drops nothing.

    Attributes
    ----------
    layers : dict of str to Layer
        All layers by dotted name, those of containers before their container, in the order of the model.
    probes : dict of str to Probe
        The same names.
    """

    def __init__(self, operation: str, model: nn.Layer, *, gradients: bool = False) -> None:
        self._operation = operation
        self.layers: dict[str, nn.Layer] = {}
        self.probes: dict[str, Probe] = {}
        twin = model.twin().freeze().train() if gradients else model.twin().eval()
        self._root = self._probed(twin, "")
        self._dtype = next((value.dtype for value in model.parameters.values()), None)

    def _probed(self, layer: nn.Layer, name: str) -> Probe:
        if isinstance(layer, nn.Container):
            for key, inner in layer.layers.items():
                layer.layers[key] = self._probed(inner, f"{name}.{key}" if name else key)
        # A dropout of rate 0 is the identity with a way back, and draws from a generator of its own.
        layer = nn.Dropout(0.0) if isinstance(layer, nn.Dropout) and layer.training else layer
        self.layers[name], self.probes[name] = layer, Probe(layer)
        return self.probes[name]

    def named(self, name: str) -> Probe:
        """Return the probe of a layer, or raise ValueError with the names that there are."""
        if name not in self.probes:
            known = ", ".join(filter(None, self.probes)) or "none"
            raise ValueError(f"{self._operation}: layer is {name!r}, expected one of: {known}")
        return self.probes[name]

    def output_of(self, name: str) -> Array:
        """Return what a layer made of the last images, or raise ValueError if its container went another way."""
        output = self.named(name).output
        if output is None:
            raise ValueError(f"{self._operation}: nothing passes layer {name!r}")
        return output

    def end_at(self, name: str) -> None:
        """Leave out what comes after a layer, so that it isn't computed, down to the first container with branches."""
        holder = self._root.layer
        for key in name.split(".") if name else ():
            if not isinstance(holder, nn.Sequential) or type(holder)._forward is not nn.Sequential._forward:
                return
            names = list(holder.layers)
            for later in names[names.index(key) + 1 :]:
                del holder.layers[later]
            inner = holder.layers[key]
            assert isinstance(inner, Probe)
            holder = inner.layer

    def inputs(self, images: Array) -> Array:
        """Return images in the data type of the model's parameters."""
        checked = floats(self._operation, "images", images)
        return checked if self._dtype is None else checked.astype(self._dtype, copy=False)

    def forward(self, images: Array) -> Array:
        """Return the output of the model."""
        return self._root(images)

    def backward(self, gradient: Array) -> Array:
        """Return the gradient of the images, given that of the output."""
        return self._root.backward(gradient)

    def logits(self, images: Array) -> Array:
        """Return the output of a classifier, (N, classes); raise ValueError if it is something else."""
        output = self.forward(images)
        if output.ndim != 2:
            raise ValueError(f"{self._operation}: the model's output is {output.shape}, expected (N, classes)")
        return output

    def chosen(self, logits: Array, classes: int | Array | None) -> Array:
        """Return the class that is asked about for each image; the most probable one where none is named."""
        if classes is None:
            return np.asarray(logits.argmax(axis=1))
        given = np.asarray(classes)
        if given.dtype.kind not in "iu" or given.shape not in ((), logits.shape[:1]):
            raise ValueError(f"{self._operation}: classes is {classes!r}, expected an int, or one for each image")
        if given.size and not 0 <= given.min() <= given.max() < logits.shape[1]:
            raise ValueError(f"{self._operation}: classes is {classes!r}, expected 0 to {logits.shape[1] - 1}")
        return np.broadcast_to(given, logits.shape[:1])

    def gradient(self, images: Array, classes: Array) -> Array:
        """Return the gradient of each image's own logit with respect to that image."""
        logits = self.logits(images)
        return self.backward((np.arange(logits.shape[1]) == classes[:, None]).astype(logits.dtype))
