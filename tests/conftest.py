"""What all tests share: the instruction set, the algorithm and the data type they run with, hypothesis' profiles."""

from __future__ import annotations

import os

import hypothesis
import numpy as np
import pytest

hypothesis.settings.register_profile("short", deadline=None, max_examples=40, derandomize=True)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=2000)
hypothesis.settings.load_profile(os.environ.get("FASTCONV_HYPOTHESIS", "short"))


def pytest_generate_tests(metafunc):
    """A test that takes `isa` runs at every level that the machine has, one that takes `algorithm` for each of them."""
    if "isa" in metafunc.fixturenames or "algorithm" in metafunc.fixturenames:
        import fastconv as fc

        if "isa" in metafunc.fixturenames:
            metafunc.parametrize("isa", fc.info()["isa_available"], indirect=True)
        if "algorithm" in metafunc.fixturenames:
            metafunc.parametrize("algorithm", fc.algorithms())


@pytest.fixture
def isa(request):
    import fastconv as fc

    with fc.options(isa=request.param):
        yield request.param


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param
