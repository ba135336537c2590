"""``fastconv bench``: its arguments, and the run from tables to report."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import fastconv as fc
from fastconv._extras import require
from fastconv.benchmark import picture, report
from fastconv.benchmark.contender import Contender, Problem, check, ours
from fastconv.benchmark.peers import NAMES, Peer, load_peers, versions
from fastconv.benchmark.results import Machine, Measurement, best_of
from fastconv.benchmark.tables import DEFAULT_TABLES, DTYPES, PASSES, Layer, read_layers, shipped_tables
from fastconv.benchmark.timing import Effort, best_seconds

_CASES_PER_MACHINE = 8  # how many layers are measured between two looks at the machine

DESCRIPTION = """\
Measure convolutions and pools beside other libraries, in one process.

All libraries run in turns and the best time of each counts, because machines are noisy. The machine's peak and
bandwidth are measured in the same run, again and again, and the best figures count. The roofline of a pass is
min(peak, operations / bytes * bandwidth), with the operations of the direct algorithm and every array read or written
once; that of a pool is the bandwidth. Layers that fit into the caches may exceed it. The bandwidth is that of reading
or of copying, whichever moves more bytes in a second. PyTorch runs in both its layouts, and the better one counts;
ONNX Runtime and ncnn run forwards, in float32. Arrays that arrive with channels first are laid out anew inside the run.
Results are compared before anything is timed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments to a parser."""
    parser.description, parser.formatter_class = DESCRIPTION, argparse.RawDescriptionHelpFormatter
    default = Effort()
    parser.add_argument(
        "tables",
        nargs="*",
        metavar="TABLE",
        help=f"CSV files, or names of shipped tables: {', '.join(shipped_tables())} "
        f"(default: {' '.join(DEFAULT_TABLES)})",
    )
    what = parser.add_argument_group("what is measured")
    what.add_argument("--filter", default="", metavar="TEXT", help="only layers whose name contains this")
    what.add_argument("--passes", default=",".join(PASSES), metavar="PASSES", help="some of %(default)s")
    what.add_argument("--batch", type=_positive, metavar="N", help="batch size instead of the table's")
    what.add_argument("--dtype", choices=DTYPES, help="instead of the table's")
    what.add_argument("--algorithm", default="auto", choices=("auto", *fc.algorithms()), help="of our convolutions")
    what.add_argument(
        "--inference",
        action="store_true",
        help="forwards through layers in evaluation mode, which keep transformed weights, as ncnn and ONNX Runtime do",
    )
    what.add_argument("--threads", type=int, metavar="N", help="number of threads, for all (default: one a core)")
    what.add_argument(
        "--peers", metavar="NAMES", help=f"none, or some of {','.join(NAMES)} (default: what is installed)"
    )
    how = parser.add_argument_group("how long")
    how.add_argument(
        "--repeats", type=_positive, default=default.repeats, metavar="N", help="turns a pass (default: %(default)s)"
    )
    how.add_argument(
        "--seconds",
        type=_seconds,
        default=default.seconds,
        metavar="S",
        help="time for the turns of a layer's passes together; three turns are taken anyway (default: %(default)s)",
    )
    out = parser.add_argument_group("where it goes, beside the text")
    out.add_argument("--markdown", action="store_true", help="also print the table of README.md")
    for kind, text in (("json", "everything"), ("csv", "a line per pass"), ("plot", "a PNG of the roofline")):
        out.add_argument(f"--{kind}", type=Path, metavar="FILE", help=f"write {text} here")


def _positive(value: str) -> int:
    number = int(value)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {number}")
    return number


def _seconds(value: str) -> float:
    number = float(value)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"expected more than 0, got {value}")
    return number


def main(options: argparse.Namespace) -> int:
    """Measure, print and write; return the exit code. After Ctrl-C, that happens with what has been measured.

    Raises
    ------
    ValueError, OSError, ImportError
        Bad input: a table that isn't one, a library that isn't installed.
    WrongResult
        If fastconv and another library disagree about a result.
    """
    passes = ["forward"] if options.inference else options.passes.split(",")
    if unknown := [which for which in passes if which not in PASSES]:
        raise ValueError(f"unknown pass {unknown[0]!r}, expected some of {', '.join(PASSES)}")
    if options.plot:  # before the work, not after it
        require("matplotlib.figure")
    for file in (options.json, options.csv, options.plot):
        if file and not file.parent.is_dir():
            raise FileNotFoundError(f"{file}: there is no folder {file.parent}")
    tables = options.tables or DEFAULT_TABLES
    layers = read_layers(tables, batch=options.batch, dtype=options.dtype, containing=options.filter)
    if not any(set(layer.passes) & set(passes) for layer in layers):
        raise ValueError(f"none of the layers has a pass {options.passes}")
    if options.plot and not any(layer.operations for layer in layers):
        raise ValueError("a roofline picture needs convolutions, and pools have no operations to count")
    peers = load_peers(options.peers, fc.get_num_threads())
    about = {**_about(peers), "tables": list(tables), "algorithm": options.algorithm, "inference": options.inference}

    machines: list[Machine] = []
    measurements: list[Measurement] = []
    done, interrupted = 0, False
    try:
        for done, layer in enumerate(_progress(layers)):
            if done % _CASES_PER_MACHINE == 0:
                machines.append(fc.measure_machine())
            measurements += _measure(layer, peers, options, passes)
    except KeyboardInterrupt:
        if not measurements:
            raise
        interrupted = True
        print(f"interrupted in layer {done + 1} of {len(layers)}; this is what there is", file=sys.stderr)
    machine = best_of([*machines, fc.measure_machine()])
    print(report.text(measurements, machine, about))
    if options.markdown:
        print("\n" + report.markdown(measurements))
    _write(options, measurements, machine, about)
    return 130 if interrupted else 0


def _about(peers: dict[str, Peer]) -> dict[str, Any]:
    info = fc.info()
    kept = ("version", "python", "numpy", "platform", "compiler", "isa")
    return {**{name: info[name] for name in kept}, "threads": fc.get_num_threads(), "peers": versions(peers)}


def _progress(layers: Sequence[Layer]) -> Iterator[Layer]:
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        yield from layers
        return
    with tqdm(layers, unit=" layers", disable=None, dynamic_ncols=True, file=sys.stderr) as bar:
        for layer in bar:
            bar.set_description_str(layer.name[:40].ljust(40))
            yield layer


def _measure(
    layer: Layer, peers: dict[str, Peer], options: argparse.Namespace, passes: Sequence[str]
) -> list[Measurement]:
    asked = [which for which in layer.passes if which in passes]
    pause = max((peer.pause for peer in peers.values()), default=0.0)
    effort = Effort(options.repeats, options.seconds / max(1, len(asked)), pause)
    problem = Problem.of(layer)
    measurements = []
    with ExitStack() as contexts:
        others: list[Contender] = []
        for peer in peers.values():
            contexts.enter_context(peer.context())
            others += peer.contenders(problem)
        own = ours(problem, options.algorithm, inference=options.inference)
        for which in asked:
            check(problem, own, others, which)
            runs = {one.name: one.runs[which] for one in (own, *others) if which in one.runs}
            best = best_seconds(runs, effort)
            seconds = best.pop(own.name)
            measurements.append(Measurement(layer, which, seconds, best))
    return measurements


def _write(
    options: argparse.Namespace, measurements: Sequence[Measurement], machine: Machine, about: dict[str, Any]
) -> None:
    if options.json:
        options.json.write_text(report.as_json(measurements, machine, about))
    if options.csv:
        options.csv.write_text(report.as_csv(measurements, machine))
    if options.plot:
        options.plot.write_bytes(picture.draw(measurements, machine))
