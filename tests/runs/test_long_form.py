"""`tal-repro results table`: every metric with its run's identity, streamed, as CSV and JSON."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from tal_repro.cli import main
from tal_repro.runs.long_form import COLUMNS, LongForm
from tests.paper.made_up_runs import measured, row, seal, training

CLASSES = {"selection": "last", "weights": "ema", "protocol": "af-212", "ap": {"=Diving": 0.25, "Golf Swing": 0.5}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "runs"
    training(root, "actionformer", 40.0, percent=20, seed=3, seconds=7.5, per_class=CLASSES)
    measured(root, "inference", "tadtr", [row("latency_ms", 100, 1.5, 2, "ms")])
    return root


def call(*arguments: str):
    return CliRunner().invoke(main, ["results", "table", *arguments], catch_exceptions=False)


def read(folder: Path, *more: str) -> pd.DataFrame:
    result = call("--results", str(folder), *more)
    assert result.exit_code == 0, result.stderr
    table = pd.read_csv(io.StringIO(result.stdout), dtype={"data_digest": str}, keep_default_na=False)
    assert tuple(table.columns) == COLUMNS
    return table


def test_every_metric_has_a_row_with_its_runs_identity(folder) -> None:
    table = read(folder)
    trained = table[table["model"] == "actionformer"]
    assert set(trained["share_percent"]) == {20.0} and set(trained["unit"]) == {"video"} and set(trained["seed"]) == {3}
    assert set(trained["data_digest"]) == {"dddddddd"} and set(trained["experiment"]) == {"data_sweep"}
    assert (trained["folder"] == "data_sweep/actionformer/" + trained["planned_id"] + "-dddddddd").all()
    values = dict(zip(trained["metric"], trained["value"], strict=True))
    assert values["map/last/ema/af-212/0.5"] == pytest.approx(40) == values["map/last/ema/af-212/average"]
    assert values["ap/last/ema/af-212/=Diving"] == 25 and values["ap/last/ema/af-212/Golf Swing"] == 50
    assert values["seconds/total"] == values["table2_seconds"] == 7.5 and values["optimizer_steps"] == 100
    (timed,) = table[table["model"] == "tadtr"].to_dict("records")
    assert (timed["metric"], timed["value"], timed["metric_unit"]) == ("measured/latency_ms/100/2", 1.5, "ms")


def test_json_holds_the_same_rows(folder, tmp_path) -> None:
    out = tmp_path / "deep" / "table.json"
    result = call("--results", str(folder), "--format", "json", "--out", str(out))
    content = json.loads(out.read_text())
    assert content["schema"] == "tal-repro/results-table/1"
    assert pd.DataFrame(content["rows"]).to_csv(index=False) == read(folder).to_csv(index=False)
    assert f"of 2 runs written to {out}\nnext: in Python: pandas." in result.stderr and result.stdout == ""
    assert json.loads(call("--results", str(folder), "--format", "json", "--only", "model=tridet").stdout)["rows"] == []


def test_only_some_runs_and_a_damaged_one_is_left_out_by_name(folder) -> None:
    assert set(read(folder, "--only", "model=tadtr")["model"]) == {"tadtr"}
    (path,) = folder.glob("data_sweep/*/*/metrics.json")
    path.write_text(path.read_text() + " ")
    result = call("--results", str(folder))
    assert result.exit_code == 1 and "is not as it was written" in result.stderr
    assert "actionformer" not in result.stdout and "latency_ms" in result.stdout


def test_a_formula_of_somebody_else_is_no_formula_in_a_sheet(folder) -> None:
    (path,) = folder.glob("data_sweep/*/*/status.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"study": "=HYPERLINK(1)"}))
    assert set(read(folder, "--only", "model=actionformer")["study"]) == {"'=HYPERLINK(1)"}


def test_rows_come_before_the_last_run_is_opened(folder) -> None:
    (path,) = folder.glob("inference/*/*/measurements.csv")
    rows = LongForm(folder).rows()
    next(rows)
    path.write_text("quantity,feature_length,sample,value,unit\nlatency_ms,100,0,9,ms\n")
    seal(path.parent)
    assert [line["value"] for line in rows if line["model"] == "tadtr"] == [9]


def test_no_folder_is_refused(tmp_path) -> None:
    result = call("--results", str(tmp_path / "none"))
    assert result.exit_code == 2 and "not a folder of results" in result.stderr
