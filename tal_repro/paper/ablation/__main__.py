"""Write what the ablation says: ablation.{csv,md,png,pdf,svg}; print the text.

python -m tal_repro.paper.ablation --results results/ablation --out results/figures
python -m tal_repro.paper.ablation --rows results/reference/ablation/ablation.csv   # from rows that were kept
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tal_repro.errors import InputError
from tal_repro.files import write_whole
from tal_repro.paper.ablation.points import Point, ablation_runs, points_of, read_rows, write_rows
from tal_repro.paper.ablation.text import Source, conclude

NAME = "ablation"


def main(arguments: Sequence[str] | None = None) -> int:
    """Read runs, or rows of them; write the rows, the text and the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results/ablation"))
    parser.add_argument("--rows", type=Path, help="rows written before, in place of runs")
    parser.add_argument("--out", type=Path, default=Path("results/figures"))
    options = parser.parse_args(arguments)
    try:
        points, source = _from_rows(options.rows) if options.rows else _from_runs(options.results)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    text = conclude(points, source)
    write_rows(points, options.out / f"{NAME}.csv")
    write_whole(options.out / f"{NAME}.md", text.encode())
    from tal_repro.paper.ablation.figure import draw

    draw(points, options.out / NAME, source.made_up)
    print(text, end="")
    return 0


def _from_runs(root: Path) -> tuple[list[Point], Source]:
    from tal_repro.planned import notes, planned

    plan = planned(root) if notes(root) else None
    runs = ablation_runs(root, plan)
    invalid = tuple("; ".join(run.flags) for run in runs if run.flags)
    made_up = any(run.synthetic for run in runs)
    return points_of(runs), Source(made_up, len(plan.specs) if plan else len(runs), invalid)


def _from_rows(path: Path) -> tuple[list[Point], Source]:
    """Return kept rows; they are those of the shipped study, whose data are synthetic."""
    from tal_repro.study import load_study

    return read_rows(path), Source(True, len(load_study(NAME).runs()))


if __name__ == "__main__":
    sys.exit(main())
