"""A report opens each file of a run once, however many of its parts read it."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from tal_repro.cli import main
from tal_repro.paper.report import content
from tests.paper.made_up_runs import demo

_watched: list[tuple[str, Counter[str]]] = []


def _look(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _watched:
        root, opened = _watched[-1]
        if isinstance(arguments[0], str | Path) and str(arguments[0]).startswith(root):
            opened[str(arguments[0])] += 1


sys.addaudithook(_look)  # for the process's life: it counts only while something is watched


def test_a_report_opens_each_file_of_a_run_at_most_once(
    tmp_path: Path, every_run_counts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = {number: content.FIGURES[number] for number in (4, 5, 6)}  # 2 and 3 take seconds and read no file
    monkeypatch.setattr(content, "FIGURES", figures)
    monkeypatch.setattr(content, "forecasts", lambda published, runs: [])
    root = demo(tmp_path / "runs")
    opened: Counter[str] = Counter()
    _watched.append((f"{root}/", opened))
    try:
        result = CliRunner().invoke(main, ["report", "--results", str(root), "--out", str(tmp_path / "page")])
    finally:
        _watched.pop()
    assert result.exit_code == 0, result.output
    assert len(opened) > 200, "65 runs were read"
    assert {path.removeprefix(f"{root}/"): times for path, times in opened.items() if times > 1} == {}
