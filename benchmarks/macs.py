"""Count the MACs of all 45 published points and of TadTR afresh: python -m benchmarks.macs. Exit 1 if one is off."""

from __future__ import annotations

import csv
import resource
import sys
import time
from pathlib import Path

import torch

from tal_repro.measure.macs import count_macs

PUBLISHED = Path("results/published/gmacs.csv")
PUBLISHED_MAX_SEQ_LEN = 576
TOLERANCE = {"actionformer": 1e-4, "tridet": 5e-10, "temporalmaxer": 5e-10}  # the last digit printed, but for one
TADTR_LENGTHS = (100, 1000, 10000, 30000)
TADTR_MACS_PER_STEP, TADTR_MACS_AT_ZERO = 3_501_312, 230_993_920


def main() -> int:
    """Count, compare, and say how long it took and how much memory it needed."""
    start, missed, counted = time.perf_counter(), 0, 0
    with PUBLISHED.open() as file:
        for row in csv.DictReader(file):
            macs = count_macs(row["model"], int(row["feature_length"]), PUBLISHED_MAX_SEQ_LEN).macs
            off = abs(macs / 1e9 / float(row["gmacs"]) - 1)
            missed += off > TOLERANCE[row["model"]]
            counted += 1
            print(f"{row['model']:<14}{row['feature_length']:>6}{macs / 1e9:>16.9f} off by {off:.1e}")
    print(f"{counted} published counts, {missed} missed, in {time.perf_counter() - start:.1f} s")
    for length in TADTR_LENGTHS:
        macs = count_macs("tadtr", length).macs
        exact = macs == TADTR_MACS_PER_STEP * length + TADTR_MACS_AT_ZERO
        missed += not exact
        print(f"{'tadtr':<14}{length:>6}{macs / 1e9:>16.9f} {'on' if exact else 'OFF'} the line")
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{time.perf_counter() - start:.1f} s in all with {torch.get_num_threads()} threads, peak {peak_gib:.2f} GiB")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
