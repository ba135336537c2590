"""Threads, forks, the GIL, the environment, and what an import brings along."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import fastconv as fc
from cases import named
from problems import INTEGERS, answers, assert_equal, problem

(CASE,) = named("2d_enough_for_threads")
SECONDS = 60  # until something counts as hanging

CALL = """
import numpy as np, fastconv as fc
x, w = np.ones((2, 32, 32, 16), np.float32), np.ones((3, 3, 16, 32), np.float32)
assert abs(fc.conv2d(x, w) - 144).max() < 1e-3
"""


def convolve():
    given = problem(CASE, INTEGERS, np.float32)
    return fc.conv2d(given.input, given.weight, **CASE.keywords, algorithm="direct")


def check():
    assert_equal(convolve(), answers(CASE, INTEGERS, np.float32).output, CASE)


def python(code, **environment):
    """Run code in a fresh interpreter; its variables are ours without any of the package's."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("FASTCONV_", "OMP_"))}
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, env={**ours, **environment}, capture_output=True, text=True, timeout=SECONDS)


def printed(code, **environment):
    ended = python(code, **environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


# Importing


def test_import_brings_nothing_but_numpy_and_the_standard_library():
    code = """
import sys, numpy
before = set(sys.modules)
import fastconv
print(*{name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names) - {"numpy"})
"""
    foreign = {name for name in printed(code).split() if not name.startswith("_distutils")}
    assert foreign == {"fastconv"}


def test_beside_torch_in_one_process_both_give_right_answers():
    pytest.importorskip("torch")
    body = """
import torch
a = torch.ones(2, 16, 32, 32); b = torch.ones(32, 16, 3, 3)
assert (torch.nn.functional.conv2d(a, b) == 144).all()
x[:] = 2
assert abs(fc.conv2d(x, w) - 288).max() < 1e-3
assert (torch.nn.functional.conv2d(a, b) == 144).all()
"""
    printed(CALL + body)
    printed("import torch\n" + CALL + body)


def test_a_torch_tensor_comes_in_and_its_gradient_is_the_same():
    torch = pytest.importorskip("torch")
    given = problem(CASE, INTEGERS, np.float32)
    x, w = torch.from_numpy(given.input.copy()), torch.from_numpy(given.weight.copy())
    output = fc.conv2d(x, w, **CASE.keywords, algorithm="direct")
    assert_equal(output, answers(CASE, INTEGERS, np.float32).output)


# Threads


def test_the_number_of_threads_is_what_was_set_and_options_restore_it():
    before = fc.get_num_threads()
    try:
        for threads in (1, 3):
            fc.set_num_threads(threads)
            assert fc.get_num_threads() == threads
            with fc.options(num_threads=2):
                assert fc.get_num_threads() == 2
                check()
            assert fc.get_num_threads() == threads
    finally:
        fc.set_num_threads(before)


def test_options_restore_what_was_before_after_an_error():
    before = fc.get_num_threads(), fc.info()["isa"]
    with pytest.raises(KeyError), fc.options(num_threads=before[0] + 1, isa="baseline"):
        raise KeyError
    assert (fc.get_num_threads(), fc.info()["isa"]) == before


@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (-1, ValueError), (2**40, ValueError), (1.5, TypeError), ("2", TypeError),
                         (None, TypeError), (True, TypeError)],
)  # fmt: skip
def test_an_impossible_number_of_threads_is_an_error_that_names_it(value, error):
    before = fc.get_num_threads()
    with pytest.raises(error, match=rf"set_num_threads: .*{value}"):
        fc.set_num_threads(value)
    if value is not None:  # which leaves the number as it is
        with pytest.raises(error, match=rf"{value}"):
            fc.options(num_threads=value).__enter__()
    assert fc.get_num_threads() == before


def test_unknown_options_are_errors():
    with pytest.raises(ValueError, match=r"isa .*baseline.*'sse9'"):
        fc.options(isa="sse9").__enter__()
    with pytest.raises(TypeError, match="speed"):
        fc.options(speed=11)


def test_info_says_what_runs():
    info = fc.info()
    assert info["isa"] in info["isa_available"] and "baseline" in info["isa_available"]
    for level in info["isa_available"]:
        with fc.options(isa=level):
            assert fc.info()["isa"] == level
    assert fc.__version__ in map(str, info.values())


def test_several_python_threads_at_once_get_right_answers():
    failures = []

    def work():
        try:
            for _ in range(20):
                check()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert not failures, failures[0]
    assert not any(thread.is_alive() for thread in threads), "hangs"


def test_other_python_threads_run_during_a_call():
    """The GIL is released: while calls run back to back, a counter elsewhere moves DURING at least one of them.

    With the switch interval above the test's length nobody takes the GIL away from a thread that doesn't give it up.
    """
    x, w = np.ones((4, 64, 64, 32), np.float32), np.ones((3, 3, 32, 64), np.float32)
    counted, stop, interval = [0], threading.Event(), sys.getswitchinterval()

    def count():
        while not stop.is_set():
            counted[0] += 1
            time.sleep(0)  # gives the GIL back: the caller needs it to go on

    thread = threading.Thread(target=count, daemon=True)
    sys.setswitchinterval(2 * SECONDS)
    try:
        thread.start()
        until, moved = time.monotonic() + SECONDS / 2, False
        while not moved and time.monotonic() < until:
            before = counted[0]
            fc.conv2d(x, w)
            moved = counted[0] > before
    finally:
        stop.set()
        sys.setswitchinterval(interval)
    thread.join(SECONDS)
    assert moved


# Forks. The parent has threads that the child doesn't; the child must work all the same.

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def ended_well(pid):
    """Whether a child ends with status 0 before it counts as hanging."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_forked_child_works_after_threads_ran_in_the_parent(threads):
    with fc.options(num_threads=threads):
        check()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                for _ in range(3):
                    check()
                status = 0
            finally:
                os._exit(status)
        check()
        assert ended_well(pid)
        check()


def square_sum(number):
    check()
    return number * number


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_pool_of_forked_workers_works_and_so_does_its_parent():
    with fc.options(num_threads=2):
        check()
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map_async(square_sum, range(6)).get(SECONDS) == [n * n for n in range(6)]
        check()


# The environment


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_environment_sets_the_number_of_threads(threads):
    code = CALL + "print(fc.get_num_threads())"
    assert printed(code, FASTCONV_NUM_THREADS=str(threads)) == str(threads)


def test_our_variable_goes_before_openmps_and_that_before_the_machine():
    code = "import fastconv as fc; print(fc.get_num_threads())"
    assert printed(code, OMP_NUM_THREADS="1") == "1"
    assert printed(code, OMP_NUM_THREADS="1", FASTCONV_NUM_THREADS="2") == "2"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert 1 <= int(printed(code)) <= cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity masks here")
def test_the_affinity_mask_limits_the_threads():
    core = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, [{core}]); import fastconv as fc; print(fc.get_num_threads())"
    assert printed(code) == "1"


def test_the_environment_sets_the_instruction_set():
    for level in fc.info()["isa_available"]:
        assert printed(CALL + "print(fc.info()['isa'])", FASTCONV_ISA=level) == level


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FASTCONV_NUM_THREADS", "many"),
        ("FASTCONV_NUM_THREADS", "0"),
        ("FASTCONV_NUM_THREADS", "-2"),
        ("FASTCONV_NUM_THREADS", "2x"),
        ("FASTCONV_NUM_THREADS", "99999999999999999999"),
        ("FASTCONV_ISA", "sse9"),
        ("FASTCONV_WINOGRAD", "3"),
        ("FASTCONV_WINOGRAD", "44"),
        ("FASTCONV_WINOGRAD", "on"),
    ],
)
def test_an_environment_variable_that_makes_no_sense_is_reported_by_name_and_value(name, value):
    ended = python(CALL, **{name: value})
    assert name in ended.stderr and value in ended.stderr, ended


def test_an_instruction_set_that_the_machine_lacks_is_refused_and_no_crash():
    for level in {"avx2", "avx512", "neon"} - set(fc.info()["isa_available"]):
        ended = python(CALL, FASTCONV_ISA=level)
        assert ended.returncode >= 0, "killed by a signal"
        assert "FASTCONV_ISA" in ended.stderr and level in ended.stderr, ended


def test_an_empty_variable_counts_as_unset():
    printed(CALL, FASTCONV_NUM_THREADS="", FASTCONV_ISA="", FASTCONV_WINOGRAD="")


def test_the_cache_can_be_emptied_at_any_time():
    for _ in range(3):
        output = convolve()
        fc.empty_cache()
        assert fc.info()["cached_bytes"] == 0
        assert_equal(output, answers(CASE, INTEGERS, np.float32).output)
        del output
        fc.empty_cache()
        assert fc.info()["cached_bytes"] == 0


def test_the_cache_stays_bounded_whatever_the_shapes():
    for size in range(1, 400):
        fc.relu(np.zeros(size * 4096, np.float32))
    assert fc.info()["cached_bytes"] <= 2**30
    fc.empty_cache()


@pytest.mark.parametrize(("share", "serves"), [(1, True), (2, True), (3, False)])
def test_a_buffer_that_was_just_given_back_serves_for_half_its_size(share, serves):
    values = np.zeros(3 << 16, np.float32)
    fc.empty_cache()
    fc.relu(values)
    kept = fc.info()["cached_bytes"]  # none, where a sanitizer looks at every buffer
    output = fc.relu(values[: values.size // share])
    assert fc.info()["cached_bytes"] == (0 if serves else kept)
    del output
    fc.empty_cache()


def test_an_older_or_large_buffer_serves_only_for_its_size():
    for sizes, wanted in [((8, 1, 1), 4), ((5 << 10,), 4 << 10)]:  # in 4 KiB
        fc.empty_cache()
        outputs = [fc.relu(np.zeros(size << 10, np.float32)) for size in sizes]
        while outputs:
            outputs.pop(0)
        kept = fc.info()["cached_bytes"]
        output = fc.relu(np.zeros(wanted << 10, np.float32))
        assert fc.info()["cached_bytes"] == kept
        del output
    fc.empty_cache()


def test_the_spin_setting_is_the_users_or_gone_after_the_import():
    code = "import os, fastconv; print(os.environ.get('GOMP_SPINCOUNT'))"
    chosen = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {name: value for name, value in os.environ.items() if name not in chosen}
    for setting, printed in (({}, "None"), ({"GOMP_SPINCOUNT": "77"}, "77")):
        settings = environment | setting
        ended = subprocess.run([sys.executable, "-c", code], env=settings, capture_output=True, text=True)
        assert ended.stdout.strip() == printed, ended.stderr
