"""Measure how far the native models are from the authors' own: python -m benchmarks.parity [--upstream DIR].

Runs both at THUMOS14 size with the same weights on the same inputs and compares parameters, outputs, losses, gradients,
weights after training steps, and detections. The exit status is 1 if any comparison misses its limit.
"""

from __future__ import annotations

import argparse
import sys

import torch

from benchmarks import skeleton
from benchmarks.reference import checks
from benchmarks.reference.report import describe_run, print_table, write_report
from tal_repro.models import model_entry

PYRAMID = ("actionformer", "tridet", "temporalmaxer")


def main() -> int:
    """Run the comparisons of the chosen models and write one JSON file."""
    options = _parse()
    torch.manual_seed(options.seed)
    head = describe_run(options.models, options.upstream, options.seed)
    rows: list[checks.Row] = []
    for name in options.models:
        folder = options.upstream / model_entry(name).submodule
        for check in checks.CHECKS:
            if options.only and check.__name__ not in options.only:
                continue
            found = check(name, folder, options.seed)
            print_table(found)
            rows += found
    if options.out:
        write_report(options.out, head, rows)
    return 0 if all(row.passed for row in rows) else 1


def _parse() -> argparse.Namespace:
    parser = skeleton.parser(__doc__, upstream=True)
    parser.add_argument("--models", nargs="+", default=[*PYRAMID, "tadtr"])
    parser.add_argument("--only", nargs="+", help="checks to run: " + ", ".join(c.__name__ for c in checks.CHECKS))
    parser.add_argument("--seed", type=int, default=20230621)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
