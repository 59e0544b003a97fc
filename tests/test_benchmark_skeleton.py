"""Turns and ratios of the side-by-side programs, on a clock that the work itself moves; and every program's options."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import skeleton
from tal_repro.kit import require_checkout

PROGRAMS = sorted(
    path.stem
    for path in require_checkout("testing").glob("benchmarks/*.py")
    if "skeleton.parser(" in path.read_text(encoding="utf-8")
)


def test_sides_take_turns_after_an_unmeasured_one() -> None:
    now, order = [0.0], []

    def work(side: str, seconds: float) -> None:
        order.append(side)
        now[0] += seconds + (100 if len(order) <= 2 else 0)  # the first turn of each is slow, and does not count

    sides = {"a": lambda: work("a", 2.0), "b": lambda: work("b", 3.0)}
    taken = skeleton.in_turn(sides, 2, block=2, clocks=(lambda: now[0], lambda: 10 * now[0]), before=order.append)
    assert "".join(order).replace("aaa", "A").replace("bbb", "B") == "aabbABAB"
    assert taken == {"a": [(2.0, 20.0)] * 4, "b": [(3.0, 30.0)] * 4}


def test_a_spread_is_of_neighbours() -> None:
    assert skeleton.spread([2.0, 9.0, 4.0], [1.0, 3.0, 4.0]) == (2.0, 1.0, 3.0)


def test_a_report_is_written_where_it_is_wanted(tmp_path: Path) -> None:
    skeleton.write(None, {"a": 1})
    skeleton.write(tmp_path / "new" / "report.json", {"a": 1})
    assert json.loads((tmp_path / "new" / "report.json").read_text()) == {"a": 1}


@pytest.mark.parametrize("name", ["hooks", "sampler"])
def test_a_program_says_its_options(name: str) -> None:
    assert name in PROGRAMS
    command = [sys.executable, "-m", f"benchmarks.{name}", "--help"]
    done = subprocess.run(command, cwd=require_checkout("testing"), capture_output=True, text=True, check=True)
    assert done.stdout.count("--out OUT") == 2  # in the usage, and explained
