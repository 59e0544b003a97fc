"""The benchmark of bfloat16: its halves can be had apart, and a processor that emulates it is named as such."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import precision


@pytest.mark.parametrize("native", [True, False, None])
@pytest.mark.parametrize(("only", "gain", "cost"), [("", 1, 2), ("gain", 1, None), ("cost", None, 2)])
def test_a_half_is_left_out_and_emulation_told(
    only: str, gain: Any, cost: Any, native: bool | None, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(precision, "gain", lambda *_: 1)
    monkeypatch.setattr(precision, "cost", lambda *_: 2)
    monkeypatch.setattr(precision, "has_native_bfloat16", lambda _: native)
    path = tmp_path / "new" / "report.json"
    chosen = ["--only", only] if only else []
    monkeypatch.setattr(sys, "argv", ["precision", "--models", "tridet", "--out", str(path), *chosen])
    precision.main()
    report = json.loads(path.read_text())
    assert report["native_bfloat16"] is native
    assert report["models"] == {"tridet": {"gain": gain, "cost": cost}}
    assert ("emulates bfloat16" in capsys.readouterr().err) == (native is False and only != "cost")


def test_the_difference_is_of_pairs() -> None:
    found = precision.paired([1.0, 2.0, 3.0], [2.0, 3.0, 4.5])
    assert found["difference"] == pytest.approx(3.5 / 3)
    assert found["half_width_95"] == pytest.approx(4.30265 * 0.288675 / 3**0.5, rel=1e-4)
