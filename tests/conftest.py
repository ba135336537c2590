"""What all tests share: the instruction set, the algorithm and the data type they run with, hypothesis' profiles."""

from __future__ import annotations

import os

import hypothesis
import numpy as np
import pytest

hypothesis.settings.register_profile("short", deadline=None, max_examples=40, derandomize=True)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=2000)
hypothesis.settings.load_profile(os.environ.get("FASTCONV_HYPOTHESIS", "short"))


def pytest_configure():
    """Workers of pytest-xdist share the processors: each has its part of the threads, at least two of several."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        import fastconv as fc

        fc.set_num_threads(min(fc.get_num_threads(), max(2, fc.get_num_threads() // workers)))


def pytest_generate_tests(metafunc):
    """A test that takes `isa` runs at every level that the machine has, one that takes `algorithm` for each of them.

    One that takes `exact_algorithm` runs for those whose results are sums of the very products.
    """
    if {"isa", "algorithm", "exact_algorithm"} & set(metafunc.fixturenames):
        import fastconv as fc
        from algorithms import is_exact

        if "isa" in metafunc.fixturenames:
            metafunc.parametrize("isa", fc.info()["isa_available"], indirect=True)
        if "algorithm" in metafunc.fixturenames:
            metafunc.parametrize("algorithm", fc.algorithms())
        if "exact_algorithm" in metafunc.fixturenames:
            metafunc.parametrize("exact_algorithm", [name for name in fc.algorithms() if is_exact(name)])


def pytest_collection_modifyitems(config, items):
    """What an algorithm doesn't support isn't tested with it; test_algorithms.py says what that is."""
    wanted = {True: [], False: []}
    for item in items:
        params = item.callspec.params if hasattr(item, "callspec") else {}
        wanted[_is_supported(params.get("algorithm"), params.get("case"))].append(item)
    if wanted[False]:
        config.hook.pytest_deselected(items=wanted[False])
        items[:] = wanted[True]


def _is_supported(algorithm, case):
    if algorithm is None or case is None:
        return True
    from algorithms import supports

    return supports(algorithm, case)


@pytest.fixture
def isa(request):
    import fastconv as fc

    with fc.options(isa=request.param):
        yield request.param


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param
