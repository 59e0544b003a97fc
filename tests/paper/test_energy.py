"""Energy and carbon of trainings: counted, estimated from a stated power, or absent; never zero, never mixed."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_up_runs import seal, training

from tal_repro.cli import main
from tal_repro.errors import InputError
from tal_repro.paper.energy import Assumed, Stated, assumed, energy_table, summarise, used_by
from tal_repro.runs.load import Runs, load_runs
from tal_repro.runs.record import RunRecord

POWER = Stated(360.0, "made-up plug")
GRID = Stated(500.0, "made-up grid, 2023")


@pytest.fixture(autouse=True)
def nothing_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TAL_REPRO_GRID", raising=False)
    monkeypatch.delenv("TAL_REPRO_POWER", raising=False)


def _counted(record: RunRecord, **joules: object) -> None:
    record.paths.details.write_text(json.dumps({"energy": {"joules": joules}}))
    seal(record.folder)


def _baseline(root: Path, seed: int, seconds: float = 100.0) -> RunRecord:
    return training(root, "tadtr", 50.0, experiment="baseline", seed=seed, synthetic=False, seconds=seconds)


def _change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    seal(path.parent)


def _kwh(runs: Runs, power: Stated | None = None) -> list[float | None]:
    used = [used_by(run, runs, power) for run in sorted(runs.runs, key=lambda run: run.seed)]
    return [None if one is None else one.kwh for one in used]


def test_counters_come_before_estimates_and_nothing_is_not_zero(tmp_path: Path) -> None:
    _counted(_baseline(tmp_path, 0), gpu=3.6e6, cpu=1.8e6)
    _baseline(tmp_path, 1)
    runs = load_runs(tmp_path)
    assert _kwh(runs) == [1.5, None]
    assert _kwh(runs, POWER) == [1.5, pytest.approx(0.01)]  # 360 W for 100 s
    kinds = [(one.how, len(one.kwh)) for one in summarise(runs.runs, runs, POWER)]
    assert kinds == [("estimated: 360 W (made-up plug)", 1), ("counted: cpu + gpu", 1)]  # no mean over both


def test_what_is_not_of_this_run_alone_is_absent(tmp_path: Path) -> None:
    records = [_baseline(tmp_path, seed) for seed in range(4)]
    for record in records[:3]:
        _counted(record, gpu=3.6e6)
    _change(records[0].paths.system, alone=False)
    _change(records[1].paths.status, attempts=2)  # the counter saw the last attempt only
    _counted(records[3], gpu="many")
    assert _kwh(load_runs(tmp_path)) == [None, None, 1.0, None]
    assert _kwh(load_runs(tmp_path), POWER)[:2] == [None, None]


def test_the_table_of_energy(tmp_path: Path) -> None:
    for seed, joules in enumerate((3.6e6, 7.2e6)):
        _counted(_baseline(tmp_path, seed), gpu=joules)
    runs = load_runs(tmp_path)
    (row,) = energy_table(runs, Assumed(GRID, None)).rows
    shown = dict(zip(energy_table(runs, Assumed()).header, row, strict=True))
    assert shown["kWh a training"] == "1.5 ± 0.71"
    assert shown["kWh a point of mAP"] == "0.03 ± 0.014"
    assert shown["g CO2e a training"] == "750 ± 3.5e+02"
    assert shown["Energy is"] == "counted: gpu"
    assert any("made-up grid, 2023" in note for note in energy_table(runs, Assumed(GRID, None)).notes)
    (without,) = energy_table(runs, Assumed()).rows
    assert without[7] == "not stated"


def _table(*arguments: str) -> list[dict[str, str]]:
    result = CliRunner().invoke(main, ["table", *arguments, "--format", "csv"])
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(io.StringIO(result.stdout)))


@pytest.mark.usefixtures("every_run_counts")
def test_table_2_and_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _counted(_baseline(tmp_path, 0), gpu=3.6e6)
    where = ("--results", str(tmp_path))
    measured = _table("2", *where)[1]
    assert (measured["Energy (kWh)"], measured["kWh a point of mAP"]) == ("1", "0.02")
    (row,) = _table("energy", *where, "--grid", "350:a source: with a colon")
    assert row["g CO2e a training"] == "350"
    monkeypatch.setenv("TAL_REPRO_GRID", "100:another")
    (row,) = _table("energy", *where)
    assert row["g CO2e a training"] == "100"
    _baseline(tmp_path, 1)
    assert _table("2", *where)[1]["Energy (kWh)"] == "1"
    assert _table("2", *where, "--power", "360:plug")[1]["Energy (kWh)"] == "see the table of energy"


def test_a_table_without_a_row_says_why() -> None:
    table = energy_table(Runs(None), Assumed())
    assert table.rows == ()
    assert table.notes[0] == "Nothing to tell: there is no finished run of the experiment baseline."


@pytest.mark.usefixtures("every_run_counts")
def test_without_counters_the_tables_say_so(tmp_path: Path) -> None:
    _baseline(tmp_path, 0)
    where = ("--results", str(tmp_path))
    assert _table("2", *where)[1]["Energy (kWh)"] == "not measured"
    (row,) = _table("energy", *where, "--grid", "350:x")
    assert (row["kWh a training"], row["g CO2e a training"]) == ("not measured", "not measured")


@pytest.mark.parametrize("text", ["350", "350:", ":x", "-1:x", "0:x", "nan:x", "inf:x", "1e9:x", "many:x"])
def test_numbers_without_a_source_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not NUMBER:SOURCE"):
        assumed(text, None)
    result = CliRunner().invoke(main, ["table", "energy", "--power", text])
    assert result.exit_code == 2
    assert "remedy" in result.stderr
