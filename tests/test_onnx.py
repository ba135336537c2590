"""What the operators of ONNX say, in its own words: the test cases of its nodes, through `onnx_backend.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import numpy_helper  # noqa: E402

import onnx_backend  # noqa: E402

CASES = Path(onnx.__file__).parent / "backend" / "test" / "data" / "node"


def cases():
    """The folders of all cases of one node that the backend has a function for."""
    names = [name.encode() for name in onnx_backend.OPERATORS]
    for file in sorted(CASES.glob("*/model.onnx")):
        content = file.read_bytes()
        if not any(name in content for name in names):  # most aren't ours, and needn't be parsed
            continue
        nodes = onnx.load_model_from_string(content).graph.node
        if len(nodes) == 1 and nodes[0].op_type in onnx_backend.OPERATORS and onnx_backend.supports(nodes[0]):
            yield file.parent


FOLDERS = {folder.name: folder for folder in cases()}


def tensors(folder, kind):
    """The inputs or outputs of a case, in order."""
    files = sorted(folder.glob(f"test_data_set_0/{kind}_*.pb"), key=lambda file: int(file.stem.split("_")[-1]))
    return [numpy_helper.to_array(onnx.load_tensor(str(file))) for file in files]


def attribute(one):
    value = onnx.helper.get_attribute_value(one)
    return value.decode() if isinstance(value, bytes) else value


@pytest.mark.parametrize("name", FOLDERS)
def test_a_node_computes_what_onnx_expects(name):
    folder = FOLDERS[name]
    graph = onnx.load(str(folder / "model.onnx")).graph
    node, given = graph.node[0], iter(tensors(folder, "input"))
    names = {value.name for value in graph.input}
    inputs = [next(given) if wanted in names else None for wanted in node.input]
    ours = onnx_backend.Node({one.name: attribute(one) for one in node.attribute}, len(node.output))
    found = onnx_backend.OPERATORS[node.op_type](ours, *inputs)
    results = found if isinstance(found, tuple) else (found,)
    for result, expected in zip(results, tensors(folder, "output"), strict=True):
        assert result.dtype == expected.dtype and result.shape == expected.shape
        # the tolerance of ONNX's own runner: some of what it expects is written with four digits
        np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-7)


def test_every_operator_has_cases():
    """So that none is in the table, and untested, because a name was misspelt or its cases moved."""
    found = {onnx.load(str(folder / "model.onnx")).graph.node[0].op_type for folder in FOLDERS.values()}
    assert found == set(onnx_backend.OPERATORS)
