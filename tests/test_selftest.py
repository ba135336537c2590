"""The self-test passes here, and fails where something computes wrong."""

from __future__ import annotations

import pytest

from fastconv import pool, runtime, selftest


def test_the_selftest_passes_at_every_level_for_every_algorithm(capsys):
    assert selftest.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "ok" and all(line.endswith(" ok") for line in lines[:-1])
    for isa in runtime.info()["isa_available"]:
        for algorithm in runtime.algorithms():
            mine = [line for line in lines if line.split()[:2] == [isa, algorithm]]
            assert {part for line in mine for part in ("forward", "grad input", "grad weight", "grad bias")
                    if part in line} == {"forward", "grad input", "grad weight", "grad bias"}  # fmt: skip


@pytest.mark.parametrize("wrong", ["convolution", "pooling", "linear"])
def test_a_result_that_is_off_by_one_fails_the_selftest(monkeypatch, capsys, wrong):
    if wrong == "convolution":
        forward, backward = selftest._CONV[2]
        monkeypatch.setitem(selftest._CONV, 2, (lambda *a, **k: forward(*a, **k) + 1, backward))
    elif wrong == "pooling":
        original = pool.avg_pool2d_backward
        monkeypatch.setattr(pool, "avg_pool2d_backward", lambda *a, **k: original(*a, **k) + 1)
    else:
        original = selftest.dense.linear
        monkeypatch.setattr(selftest.dense, "linear", lambda *a, **k: original(*a, **k) + 1)
    assert selftest.main() == 1
    lines = capsys.readouterr().out.splitlines()
    failed = [line for line in lines if line.endswith("FAILED")]
    assert failed and lines[-1] == f"failed: {len(failed)} checks"
