"""The scoreboard: its tables agree with themselves, its figures with arithmetic, and bad input ends in one line."""

from __future__ import annotations

import csv
import json
import math
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from fastconv import cli
from fastconv.benchmark import command, contender, peers, report, results, tables, timing

COLUMNS = (
    "name,source,n,h,w,cin,cout,kh,kw,stride_h,stride_w,pad_h,pad_w,dil_h,dil_w,groups,repeat,op,d,kd,stride_d,pad_d,"
    "dil_d,pad_d_end,pad_h_end,pad_w_end,out_pad,out_d,out_h,out_w,macs,dtype,layout"
)
DENSE = "dense,a test,2,6,5,4,8,3,3,1,1,1,1,1,1,1,1,conv,1,1,1,0,1,0,1,1,0,1,6,5,17280,,"
DOUBLE = "depthwise,a test,2,6,5,4,4,3,3,1,1,1,1,1,1,4,1,conv,1,1,1,0,1,0,1,1,0,1,6,5,2160,float64,channels_first"
POOL = "pool,a test,2,6,4,4,4,2,2,2,2,0,0,1,1,4,1,max_pool,1,1,1,0,1,0,0,0,0,1,3,2,192,,"
MACHINE = {"peak_float32": 100.0, "peak_float64": 50.0, "bandwidth": 10.0, "copy_bandwidth": 8.0}
QUICK = ["--repeats", "1", "--seconds", "0.1", "--peers", "none"]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "small.csv"
    path.write_text("\n".join((COLUMNS, DENSE, DOUBLE, POOL)) + "\n")
    return path


@pytest.fixture
def layers(table):
    return {layer.name: layer for layer in tables.read_table(table)}


def shipped():
    return sorted(tables.shipped_tables().items())


def test_the_tables_of_the_scoreboard_ship_with_the_package():
    assert {"overview", "cliffs", "pools", "resnet50", "vgg16"} <= set(tables.shipped_tables())


@pytest.mark.parametrize(("name", "path"), shipped(), ids=[name for name, _ in shipped()])
def test_a_shipped_table_agrees_with_the_geometry_of_its_layers(name, path):
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    layers = tables.read_table(path)
    assert [layer.name for layer in layers] == [row["name"] for row in rows]
    for layer, row in zip(layers, rows, strict=True):
        spatial = [int(row[f"out_{axis}"]) for axis in "dhw"]
        assert layer.output == (int(row["n"]), *spatial[3 - layer.rank :], int(row["cout"])), layer.name
        assert math.prod(spatial[: 3 - layer.rank]) == 1, layer.name
        pixels = layer.input if layer.op == "conv_transpose" else layer.output
        multiplications = math.prod(pixels[:-1]) * math.prod(layer.weight) if layer.op not in tables.OTHERS else 0
        assert multiplications * int(row["repeat"]) == int(row["macs"]), layer.name
        assert row["source"], layer.name


@pytest.mark.parametrize("name", ["cliffs", "pools", "overview"])
def test_no_two_layers_of_a_table_of_ours_have_one_name(name):
    names = [layer.name for layer in tables.read_layers([name])]
    assert len(set(names)) == len(names)


def test_the_cliffs_hold_every_kind_of_layer_that_is_known_to_fall():
    cliffs = tables.read_layers(["cliffs"])
    conv = {(layer.kernel, layer.input[-1], layer.weight[-1], layer.groups) for layer in cliffs}
    assert {((3, 3), 3, 64, 1), ((1, 1), 64, 2, 1), ((9, 9), 64, 3, 1), ((31,), 256, 256, 256)} <= conv
    assert {layer.rank for layer in cliffs} == {1, 2, 3}
    float32 = {replace(layer, name="", dtype="") for layer in cliffs if layer.dtype == "float32"}
    assert {replace(layer, name="", dtype="") for layer in cliffs if layer.dtype == "float64"} <= float32


def test_bytes_and_operations_are_those_of_the_arrays(layers):
    dense, double, pool = layers["dense"], layers["depthwise"], layers["pool"]
    assert dense.operations == 2 * 17280
    assert dense.bytes("forward") == dense.bytes("grad_weight") == 4 * (240 + 9 * 4 * 8 + 480)
    assert double.bytes("forward") == 8 * (240 + 9 * 4 + 240)
    assert pool.operations == 0
    assert pool.bytes("forward") == 4 * (192 + 48)
    assert pool.bytes("forward_indices") == pool.bytes("grad_input") == 4 * (192 + 48) + 8 * 48


def test_another_batch_or_dtype_replaces_the_tables(table):
    changed = tables.read_layers([str(table)], batch=3, dtype="float64", containing="d")
    assert [layer.name for layer in changed] == ["dense", "depthwise"]
    assert {(layer.input[0], layer.output[0], layer.dtype) for layer in changed} == {(3, 3, "float64")}
    twice = tables.read_layers(["cliffs"], dtype="float32")
    assert len(twice) == sum(layer.dtype == "float32" for layer in tables.read_layers(["cliffs"]))


def test_arrays_with_channels_first_are_views_of_such(layers):
    problem = contender.Problem.of(layers["depthwise"])
    assert problem.input.shape == (2, 6, 5, 4) and problem.input.transpose(0, 3, 1, 2).flags.c_contiguous
    assert problem.weight.shape == (3, 3, 1, 4) and problem.weight.transpose(3, 2, 0, 1).flags.c_contiguous
    there = contender.with_channels_first(problem.weight, weight=True)
    assert np.array_equal(contender.with_channels_last(there, weight=True), problem.weight)


@pytest.mark.parametrize("name", ["dense", "pool"])
def test_a_wrong_result_is_found_before_anything_is_timed(layers, name):
    problem = contender.Problem.of(layers[name])
    own = contender.ours(problem, "auto")
    for which, run in own.runs.items():
        right = contender.Contender("right", {which: run}, own.read)
        contender.check(problem, own, [right], which)
        wrong = contender.Contender("wrong", {which: run}, lambda w, r, own=own: tuple(a + 1 for a in own.read(w, r)))
        with pytest.raises(contender.WrongResult, match=f"{name}, {which}: wrong result: differs from wrong"):
            contender.check(problem, own, [right, wrong], which)


def small_layers():
    """One of each kind that another library may understand differently."""

    def layer(op, size, channels, kernel, stride=1, padding=0, dilation=1, groups=1, layout="channels_last"):
        rank = len(size)
        return tables.Layer(
            "small",
            f"{op} {rank}-D {channels} {kernel} {layout}",
            op,
            (2, *size, channels[0]),
            (*kernel, channels[0] // groups, channels[1]),
            (stride,) * rank,
            (dilation,) * rank,
            ((padding, padding),) * rank,
            groups,
            layout=layout,
        )

    yield layer("conv", (9, 7), (4, 6), (3, 2), stride=2, padding=1)
    yield layer("conv", (9, 7), (4, 6), (3, 3), padding=2, dilation=2, layout="channels_first")
    yield layer("conv", (9, 7), (4, 8), (3, 5), padding=2, groups=4)
    yield layer("conv", (9, 7), (8, 4), (3, 3), padding=1, groups=2)
    yield layer("conv", (30,), (4, 6), (5,), stride=3, padding=2)
    yield layer("conv", (5, 6, 7), (3, 4), (2, 3, 3), padding=1)
    for layout in tables.LAYOUTS:
        yield layer("max_pool", (9, 7), (5, 5), (3, 2), stride=2, padding=1, groups=5, layout=layout)
        yield layer("avg_pool", (9, 7), (5, 5), (3, 2), stride=2, padding=1, groups=5, layout=layout)
        yield layer("global_avg_pool", (9, 7), (5, 5), (9, 7), groups=5, layout=layout)


@pytest.mark.parametrize("name", peers.NAMES)
@pytest.mark.filterwarnings("default")  # of other libraries
def test_another_library_that_is_here_computes_the_same(name):
    try:
        (peer,) = peers.load_peers(name, threads=1).values()
    except ValueError as error:
        pytest.skip(str(error))
    compared = set()
    for layer in small_layers():
        problem = contender.Problem.of(layer)
        own = contender.ours(problem, "auto")
        with peer.context():
            for other in peer.contenders(problem):
                for which in other.runs:
                    contender.check(problem, own, [other], which)
                    compared.add((layer.op, which))
    assert {(op, "forward") for op in ("conv", *tables.POOLS)} <= compared
    if name == "torch":
        assert compared == {(layer.op, which) for layer in small_layers() for which in layer.passes}


def test_all_take_turns_and_the_best_run_counts():
    order = []
    runs = {name: lambda name=name: order.append(name) for name in "ab"}
    best = timing.best_seconds(runs, timing.Effort(repeats=2, seconds=0.01))
    assert set(best) == {"a", "b"} and all(seconds > 0 for seconds in best.values())
    assert re.fullmatch("ab(a+b+)+", "".join(order))


def test_long_runs_end_with_the_third_turn(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(timing.time, "sleep", lambda seconds: None)
    runs = []

    def run():
        runs.append(clock[0])
        clock[0] += 10 - len(runs)

    assert timing.best_seconds({"slow": run}, timing.Effort(repeats=7, seconds=1.0)) == {"slow": 7.0}
    assert len(runs) == 3


def test_shares_ratios_and_summaries_follow_from_the_times(layers):
    dense, double, pool = layers["dense"], layers["depthwise"], layers["pool"]
    least = dense.bytes("forward") / 10e9  # memory-bound: 34560 operations take less
    one = results.Measurement(dense, "forward", 2 * least, {"torch channels first": least, "torch channels last": 1.0})
    assert one.share(MACHINE) == pytest.approx(0.5)
    assert (one.best_peer, one.ratio, one.torch_ratio) == ("torch channels first", 0.5, 0.5)
    other = results.Measurement(replace(dense, name="other"), "forward", least, {"ncnn": 2 * least})
    assert other.ratio == 2 and other.torch_ratio is None
    alone = results.Measurement(double, "forward", 1.0, {})
    (summary,) = results.summarise([one, other, alone], MACHINE)
    assert (summary.layers, summary.which, summary.roofline.count) == ("all", "forward", 3)
    assert (summary.peers.count, summary.peers.mean, summary.peers.worst_name) == (2, pytest.approx(1), "dense")
    assert (summary.peers.below_1, summary.peers.below_095, summary.torch.count) == (1, 1, 1)
    assert results.Measurement(pool, "forward", 1e-6, {}).gbps == pytest.approx(0.96)
    again = replace(one, layer=replace(dense, dtype="float64"), seconds=4 * least)
    assert results.float64_beside_float32([one, again], MACHINE).mean == pytest.approx(1)


def test_a_run_writes_text_json_csv_and_a_picture(table, tmp_path, capsys):
    files = {kind: tmp_path / f"results.{kind}" for kind in ("json", "csv")}
    writing = [argument for kind, file in files.items() for argument in (f"--{kind}", str(file))]
    assert cli.main(["bench", str(table), *QUICK, "--markdown", *writing]) == 0
    printed = capsys.readouterr().out
    assert "measured peak" in printed and "| dense |" in printed and "all, convolution, grad_weight: 2 cases" in printed
    document = json.loads(files["json"].read_text())
    assert set(document["machine"]) == set(MACHINE)
    passes = [(one["name"], one["pass"]) for one in document["results"]]
    assert passes[:3] == [("dense", which) for which in ("forward", "grad_input", "grad_weight")]
    assert passes[6:] == [("pool", which) for which in ("forward", "forward_indices", "grad_input")]
    for one in document["results"]:
        assert one["microseconds"] > 0 and one["roofline_share"] > 0 and one["ratio"] is None
        assert one["gbps"] == pytest.approx(one["bytes"] / one["microseconds"] / 1e3)
    with files["csv"].open(newline="") as file:
        assert [(row["name"], row["pass"]) for row in csv.DictReader(file)] == passes


def test_a_run_draws_the_roofline(table, tmp_path):
    image = pytest.importorskip("matplotlib.image")
    picture = tmp_path / "roofline.png"
    assert cli.main(["bench", str(table), *QUICK, "--filter", "de", "--plot", str(picture)]) == 0
    assert image.imread(picture).shape[0] > 500


def test_an_interrupted_run_reports_what_it_has(table, tmp_path, monkeypatch, capsys):
    check = contender.check

    def interrupt(problem, *arguments):
        if problem.layer.name == "pool":
            raise KeyboardInterrupt
        check(problem, *arguments)

    monkeypatch.setattr(command, "check", interrupt)
    file = tmp_path / "results.json"
    assert cli.main(["bench", str(table), *QUICK, "--json", str(file)]) == 130
    assert "interrupted in layer 3 of 3" in capsys.readouterr().err
    assert {one["name"] for one in json.loads(file.read_text())["results"]} == {"dense", "depthwise"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no_such_table"], "no table 'no_such_table'"),
        (["no/such/table.csv"], "no/such/table.csv"),
        (["overview", "--filter", "nothing"], "no layer whose name contains 'nothing'"),
        (["overview", "--passes", "sideways"], "unknown pass 'sideways'"),
        (["overview", "--passes", "forward_indices"], "none of the layers has a pass"),
        (["overview", "--peers", "caffe"], "unknown library 'caffe'"),
        (["overview", "--batch", "0"], "expected at least 1"),
        (["overview", "--seconds", "nan"], "expected"),
        (["overview", "--json", "no/such/folder/file"], "no folder"),
        (["pools", "--plot", "roofline.png"], "needs convolutions"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_ends_in_one_line_and_exit_code_2(arguments, message, capsys):
    try:
        code = cli.main(["bench", *arguments])
    except SystemExit as exit:
        code = exit.code
    error = capsys.readouterr().err
    assert code == 2 and message in error and error.count("\n") == 1, error


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (DENSE.replace(",conv,", ",conv,x"), "line 2, 'dense': expected a whole number as d, got 'x1'"),
        (DENSE.replace(",2,6,5,4,8,", ",2,6,5,4,0,"), "at least 1"),
        (DENSE.replace(",6,5,4,8,3,3,", ",6,5,4,8,9,3,"), "doesn't fit"),
        (DOUBLE.replace(",6,5,4,4,", ",6,5,3,4,"), "4 groups don't divide 3 and 4 channels"),
        (POOL.replace(",6,4,4,4,", ",6,4,4,8,"), "a pool has as many"),
        (DOUBLE.replace("float64", "float16"), "dtype has to be float32 or float64, got 'float16'"),
        (DENSE[: DENSE.index(",conv,") + 5], "line 2, 'dense': expected a whole number as d, got None"),
    ],
)
def test_a_row_that_describes_no_layer_is_named(tmp_path, line, message):
    path = tmp_path / "bad.csv"
    path.write_text(f"{COLUMNS}\n{line}\n")
    with pytest.raises(ValueError, match=message):
        tables.read_layers([str(path)])


def test_a_file_that_is_no_table_is_refused(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="has no column 'op'"):
        tables.read_table(path)


def test_markdown_gives_a_row_per_layer_and_a_column_per_pass(layers):
    some = [results.Measurement(layers["dense"], which, 1e-6, {"torch": 2e-6}) for which in ("forward", "grad_weight")]
    assert report.markdown(some).splitlines() == [
        "| layer | forward | gradient of the weight |",
        "|---|---|---|",
        "| dense | 35 (2.0×) | 35 (2.0×) |",
    ]


def test_importing_the_package_imports_no_benchmark():
    code = "import sys, fastconv; sys.exit(any(name.startswith('fastconv.benchmark') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
