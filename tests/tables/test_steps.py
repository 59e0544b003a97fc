"""The table of what training steps wait for: a table a system, models in the study's order, nothing made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.tables import steps
from benchmarks.tables.steps import steps_waited_text


@pytest.fixture
def reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(steps, "reference_folder", lambda: tmp_path)
    return tmp_path


def account(wait_share: float, **changed: Any) -> dict[str, Any]:
    host = {"data_wait": wait_share, "synchronisation": 0.0, "operators": 0.875 - wait_share, "python": 0.125}
    found = {
        "steps": 2, "step_ms": 1500.0, "samples_ms": [[100.0, 1100.0], [300.0, 1500.0]], "host": host,
        "verdict": "tadtr native on cpu: 75 % arithmetic: most in aten::mm", "what_if": {"core_1.5x": 0.6667},
        "measured": {"machine": "A CPU, 2 cores", "threads": "all cores"},
    }  # fmt: skip
    return {**found, **changed}


def write(folder: Path, name: str, found: dict[str, Any]) -> None:
    path = folder / "attribution" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found))


def test_rows_follow_the_study_and_hold_shares_spread_and_estimate(reference: Path) -> None:
    write(reference / "cpu-a", "tridet-upstream", account(0.125))
    write(reference / "cpu-a", "tadtr-native", account(0.0))
    rows = [line for line in steps_waited_text().splitlines() if line.startswith("| T")]
    spread, verdict = "1,500 ms (1,200 to 1,800, n = 2)", "75 % arithmetic: most in aten::mm | 67% of the step |"
    assert rows == [
        f"| TadTR | native | {spread} | 0% | 0% | 88% | 12% | {verdict}",
        f"| TriDet | authors' | {spread} | 12% | 0% | 75% | 12% | {verdict}",
    ]


def test_each_system_has_a_table_that_says_synthetic(reference: Path) -> None:
    for system in ("cpu-b", "cpu-a"):
        write(reference / system, "tadtr-native", account(0.0))
    text = steps_waited_text()
    assert text.index("`cpu-a`") < text.index("`cpu-b`")
    assert text.count("SYNTHETIC") == text.count("**What a training step waits for on A CPU, 2 cores") == 2


def test_nothing_measured_is_no_table(reference: Path) -> None:
    assert steps_waited_text() == ""
