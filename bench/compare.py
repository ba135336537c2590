"""Measure layers beside other libraries: ``fastconv bench``, from a source tree.

python bench/compare.py bench/layers/vgg16.csv --batch 4
"""

from __future__ import annotations

import sys

from fastconv import cli

if __name__ == "__main__":
    sys.exit(cli.main(["bench", *sys.argv[1:]]))
