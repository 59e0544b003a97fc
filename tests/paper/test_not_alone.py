"""The time of a run that was not alone leaves Table 2 and the claims about time; its mAP stays."""

from __future__ import annotations

import json
from pathlib import Path

from made_up_runs import seal, training

from tal_repro.paper.claims.measurements import average_map, train_seconds
from tal_repro.paper.energy import Assumed
from tal_repro.paper.tables import NOT_ALONE, table_2
from tal_repro.published.load import load_published
from tal_repro.runs.load import Runs, load_runs


def three(root: Path, disturbed: int) -> Runs:
    """Three baselines of 100, 200 and 600 s, the last `disturbed` of them not alone."""
    for seed, seconds in enumerate((100.0, 200.0, 600.0)):
        record = training(
            root, "tadtr", 50.0 + seed, experiment="baseline", seed=seed, synthetic=False, seconds=seconds
        )
        system = {**json.loads(record.paths.system.read_text()), "alone": seed < 3 - disturbed}
        record.paths.system.write_text(json.dumps(system))
        seal(record.folder)
    return load_runs(root)


def test_its_time_is_left_out_of_table_2_and_its_map_is_not(tmp_path: Path) -> None:
    text = table_2(load_published(None), three(tmp_path, 1), Assumed())
    row = dict(zip(text.header, text.rows[1], strict=True))
    assert row["Training (s)"].startswith("150.0 ±") and row["mAP (%)"].startswith("51.00 ±")
    assert row["n"] == "2 timed, 3 scored" and "(1 of 3 not alone: not timed)" in row["Machine"]
    assert NOT_ALONE in text.notes
    none = table_2(load_published(None), three(tmp_path / "all", 3), Assumed())
    assert none.rows[1][2] == "-"


def test_claims_about_time_do_without_it(tmp_path: Path) -> None:
    runs = three(tmp_path, 1)
    chosen = runs.of("baseline")
    time, accuracy = train_seconds(runs, chosen, ""), average_map(runs, chosen, "")
    assert time is not None and accuracy is not None
    assert (time.value, len(time.runs), len(accuracy.runs)) == (150.0, 2, 3)
