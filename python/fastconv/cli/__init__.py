"""The command ``fastconv``: train, evaluate, predict, visualize, summary, show, bench, info, selftest.

Bad input ends in one line on the standard error and exit code 2; a run that was interrupted in exit code 130.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import NoReturn

from fastconv import analysis, benchmark, runtime, selftest, training
from fastconv._extras import MissingExtra
from fastconv.cli import evaluate, predict, show, train, visualize


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        0 if all went well, 1 if a check or a training failed, 2 on bad input, 130 after Ctrl-C.

    Examples
    --------
    >>> from fastconv import cli
    >>> cli.main(["train", "resnet9000"])  # on stderr: unknown model 'resnet9000', expected one of: ...
    2
    """
    options = _parser().parse_args(arguments)
    try:
        with runtime.options(num_threads=options.threads):
            return int(options.command(options))
    except (training.Diverged, benchmark.WrongResult) as error:
        return _fail(error, 1)
    except (ValueError, OSError, MissingExtra) as error:
        return _fail(error, 2)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


def _fail(error: object, code: int) -> int:
    print("fastconv:", " ".join(_words(error).split()), file=sys.stderr)
    return code


def _words(error: object) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


class _Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="fastconv", description="Train convolutional networks on CPUs.")
    parser.add_argument("--version", action="version", version=str(runtime.info()["version"]))
    parser.set_defaults(threads=None)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, text, module in (
        ("train", "train a model and save it", train),
        ("evaluate", "test a saved model", evaluate),
        ("predict", "say what image files show", predict),
        ("visualize", "show what a saved model has learnt and sees, in pictures", visualize),
        ("summary", "show what a model costs and sees, layer by layer", analysis),
        ("show", "show how a convolution is computed, step by step", show),
    ):
        command = commands.add_parser(name, help=text)
        command.set_defaults(command=module.main)
        module.add_arguments(command)

    info = commands.add_parser("info", help="show versions, instruction sets and threads")
    info.set_defaults(command=_info)
    info.add_argument("--json", action="store_true", help="print JSON")

    bench = commands.add_parser("bench", help="measure layers beside other libraries and the machine's limits")
    bench.set_defaults(command=benchmark.main)
    benchmark.add_arguments(bench)

    check = commands.add_parser("selftest", help="check every algorithm on this machine")
    check.set_defaults(command=lambda options: selftest.main())
    return parser


def _info(options: argparse.Namespace) -> int:
    info = runtime.info()
    if options.json:
        print(json.dumps(info))
        return 0
    for name, value in info.items():
        print(f"{name:>14}  {', '.join(map(str, value)) if isinstance(value, (list, tuple)) else value}")
    return 0
