"""Write the golden run folder again: `python tests/golden/make_run.py`. Its numbers are made up and say so."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).parent.parent))
from conftest import GOLDEN_DIGEST, GOLDEN_RUNS, spec

from tal_repro.runs.store import RunStore

TIOUS = (0.3, 0.4, 0.5, 0.6, 0.7)


def main() -> None:
    """Write one finished run through the one writer."""
    shutil.rmtree(GOLDEN_RUNS, ignore_errors=True)
    plain = spec.__wrapped__()  # the fixture's function
    writer = RunStore(GOLDEN_RUNS).writer(replace(plain, data_digest=GOLDEN_DIGEST))
    writer.write_json("system", {"made_up": True, "system": "golden", "cpu": "none", "gpus": []})
    writer.write_json("subset", {"unit": "slice", "policy": "uniform", "percent": 10, "seed": 1, "ids": ["a", "b"]})
    writer.write_json("data", {"schema": "tal-repro/data/1", "digest": GOLDEN_DIGEST, "made_up": True})
    writer.write_epochs(
        [
            {"epoch": e, "optimizer_steps": 5 * (e + 1), "learning_rate": 2e-4, "loss": 3.0 - e, "train_seconds": 1.5,
             "eval_seconds": 0.5}
            for e in range(2)
        ]
    )  # fmt: skip
    rows = [
        {"epoch": 1, "selection": selection, "weights": "raw", "protocol": "tadtr-210", "tiou": tiou,
         "ap": round(0.7 - tiou / 2 + bonus, 3)}
        for selection, bonus in (("last", 0.0), ("best-on-test", 0.02))
        for tiou in TIOUS
    ]  # fmt: skip
    seconds = {"total": 4.25, "train": 3.0, "eval": 1.0, "checkpoint": 0.25}
    writer.write_metrics(
        rows, optimizer_steps=10, seconds=seconds, table2_seconds=4.0, table2_definition="train and evaluation"
    )
    writer.write_detections(
        pd.DataFrame(
            [("video_test_0000004", 1.0, 2.5, "Diving", 0.9), ("video_test_0000004", 3.0, 4.5, "CliffDiving", 0.4)],
            columns=["video_id", "start_s", "end_s", "label", "score"],
        )
    )
    times = [0.0, 0.1, 1.6, 1.6, 2.1]
    kinds = [("run", "start"), ("train", "start"), ("train", "end"), ("eval", "start"), ("eval", "end")]
    events = [
        {"time": 1e9 + t, "kind": kind, "phase": phase, "index": 0}
        for t, (kind, phase) in zip(times, kinds, strict=True)
    ]
    writer.paths.events.write_text("".join(json.dumps(event) + "\n" for event in events))
    writer.paths.log.write_text("golden run: made-up numbers\n")
    status = {"layout": "tadtr", "data_set": GOLDEN_DIGEST[:16]}
    print(writer.finish(started=1e9, ended=1e9 + 4.25, **status).folder)


if __name__ == "__main__":
    main()
