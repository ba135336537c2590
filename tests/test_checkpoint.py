"""Checkpoints are whole at any moment, and what isn't one is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from fastconv import checkpoint
from fastconv._extras import MissingExtra

pytest.importorskip("safetensors")

TENSORS = {
    "weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "double": np.linspace(0, 1, 5),
    "steps": np.array(7, np.int64),
    "empty": np.zeros((0, 3), np.float32),
    "transposed": np.arange(6.0).reshape(2, 3).T,
}
METADATA = {"epoch": 3, "loss": 0.1, "name": "größer", "state": 2**127 + 1, "history": [{"a": 1e-320}, None, True]}


def test_what_is_loaded_is_what_was_saved(tmp_path):
    checkpoint.save(tmp_path / "a.safetensors", TENSORS, METADATA)
    tensors, metadata = checkpoint.load(tmp_path / "a.safetensors")
    assert metadata == METADATA and set(tensors) == set(TENSORS)
    for name, value in tensors.items():
        assert value.dtype == TENSORS[name].dtype
        np.testing.assert_array_equal(value, TENSORS[name])
    assert os.listdir(tmp_path) == ["a.safetensors"]


def test_other_tools_can_read_a_checkpoint(tmp_path):
    checkpoint.save(tmp_path / "a.safetensors", TENSORS, METADATA)
    content = (tmp_path / "a.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert json.loads(header["__metadata__"]["fastconv"]) == METADATA
    assert header["weight"]["dtype"] == "F32" and header["weight"]["shape"] == [2, 3, 4]


@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, function):
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, TENSORS, {"epoch": 1})

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(path, {}, {"epoch": 2})
    monkeypatch.undo()
    assert checkpoint.load(path)[1] == {"epoch": 1}
    assert os.listdir(tmp_path) == ["a.safetensors"]


WRITER = """
import itertools, sys
import numpy as np
from fastconv import checkpoint
for number in itertools.count():
    checkpoint.save(sys.argv[1], {"numbers": np.full(300_000, number)}, {"number": number})
    if not number:
        print("ready", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path):
    path = tmp_path / "a.safetensors"
    for delay in (0.0, 0.003, 0.011, 0.03):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
        tensors, metadata = checkpoint.load(path)
        np.testing.assert_array_equal(tensors["numbers"], np.full(300_000, metadata["number"]))


def test_a_temporary_file_that_a_kill_has_left_is_in_nobodys_way(tmp_path):
    (tmp_path / "a.safetensors.tmp").write_bytes(b"half a checkp")
    checkpoint.save(tmp_path / "a.safetensors", TENSORS, METADATA)
    assert os.listdir(tmp_path) == ["a.safetensors"]


@pytest.mark.parametrize("case", ["cut", "empty", "foreign", "header", "other tool", "no json"])
def test_a_file_that_is_no_checkpoint_is_named(tmp_path, case):
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, TENSORS, METADATA)
    whole = path.read_bytes()
    path.write_bytes({
        "cut": whole[:-1], "empty": b"", "foreign": b"PK\3\4" + bytes(200), "header": whole[:20],
        "other tool": whole.replace(b'"fastconv"', b'"slowconv"'),
        "no json": whole.replace(b'"fastconv":"{', b'"fastconv":"['),
    }[case])  # fmt: skip
    reason = "not a checkpoint of fastconv" if case in ("other tool", "no json") else "not a whole safetensors file"
    with pytest.raises(ValueError, match=reason) as raised:
        checkpoint.load(path)
    assert str(raised.value).startswith(str(path)) and "\n" not in str(raised.value)


def test_a_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        checkpoint.load(tmp_path / "a.safetensors")
    with pytest.raises(FileNotFoundError):
        checkpoint.save(tmp_path / "nowhere" / "a.safetensors", TENSORS, METADATA)


def test_without_safetensors_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    message = r"safetensors isn't installed; pip install 'fastconv\[train\]' brings it"
    with pytest.raises(MissingExtra, match=message):
        checkpoint.save(tmp_path / "a.safetensors", TENSORS, METADATA)
    with pytest.raises(MissingExtra, match=message):
        checkpoint.load(tmp_path / "a.safetensors")
