"""The experiment `released`: the authors' own checkpoint evaluated here, set beside the mAP they print.

The cheapest reproduction there is: no training. A checkpoint from elsewhere is only ever read with `weights_only`; the
upstream engine is given a file of bare weights that this run wrote from it.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tal_repro.detection.detections_io import read_ground_truth
from tal_repro.detection.protocols import PROTOCOLS, evaluate
from tal_repro.engines.registry import engine_version
from tal_repro.errors import InputError
from tal_repro.models.registry import model_entry
from tal_repro.record import RunStore, RunWriter
from tal_repro.spec import DataSpec, RunSpec

if TYPE_CHECKING:
    import pandas as pd

TIOUS = ("0.3", "0.4", "0.5", "0.6", "0.7")
WHERE = {
    "tadtr": "its README's OneDrive folder (thumos14_i3d2s_tadtr_reference.pth)",
    "actionformer": "its README: Google Drive, file 1isG3bc1dG5-llBRFCivJwz_7c_b0XDcY",
    "tridet": "its README: Google Drive, folder 1eVROG6z-vHtm4AnXsh4N8ruUKkAidLqZ",
    "temporalmaxer": "its authors, if at all: the README names none (train it: tal-repro train --model temporalmaxer)",
}
Row = dict[str, Any]


def evaluate_released(
    model: str,
    checkpoint: Path,
    data_dir: Path,
    engine: str,
    overrides: Mapping[str, Any],
    results: Path,
    device: str,
    published: Mapping[str, tuple[float, str]],
) -> list[Row]:
    """Evaluate a checkpoint under every protocol; record the run; return rows beside the published mAPs.

    `published`: protocol -> (average mAP in percent, source). Rows: model, engine, protocol, synthetic, average_map and
    maps (percent, by tIoU), published_map (None where there is none under that protocol), source, difference. Raises
    InputError for a checkpoint that is missing, unsafe or of another model.
    """
    if not checkpoint.is_file():
        raise InputError("no such checkpoint", checkpoint, f"get it from {WHERE.get(model, 'the authors')}")
    spec = _spec(model, checkpoint, data_dir, engine, overrides)
    writer = RunStore(results).writer(spec)
    try:
        detections, annotation_file = _detect(spec, writer, checkpoint, data_dir, device)
        truth = read_ground_truth(annotation_file)
        rows = [
            _row(spec, protocol, evaluate(detections, truth, protocol).result, published.get(protocol))
            for protocol in PROTOCOLS
        ]
        _record(writer, detections, rows)
    except BaseException:
        shutil.rmtree(writer.paths.folder, ignore_errors=True)  # nothing half-evaluated stays
        raise
    return rows


def _spec(model: str, checkpoint: Path, data_dir: Path, engine: str, overrides: Mapping[str, Any]) -> RunSpec:
    from tal_repro.data import load_dataset, open_features
    from tal_repro.engines.upstream.job import sha256
    from tal_repro.study import resolve_recipe

    dataset = load_dataset(data_dir)
    fitted = {"feature_dim": open_features(data_dir).dim, "num_classes": len(dataset.classes), **overrides}
    return RunSpec(
        experiment="released",
        model=model,
        engine=engine,  # type: ignore[arg-type]
        engine_version=engine_version(model, engine),
        recipe=resolve_recipe(model, engine, fitted),
        data=DataSpec(dataset.name, dataset.version, dataset.annotation_hash, dataset.synthetic),
        options={"checkpoint_sha256": sha256(checkpoint)},
    )


def _detect(
    spec: RunSpec, writer: RunWriter, checkpoint: Path, data_dir: Path, device: str
) -> tuple[pd.DataFrame, Path]:
    from tal_repro.engines.adapter import RunContext

    context = RunContext(spec, writer, data_dir, device)
    if spec.engine == "native":
        return _detect_native(context, checkpoint)
    return _detect_upstream(context, checkpoint)


def _detect_native(context: Any, checkpoint: Path) -> tuple[pd.DataFrame, Path]:
    from tal_repro.data.layouts import find_layout
    from tal_repro.engines.native.evaluation import Evaluator
    from tal_repro.engines.native.session import open_data
    from tal_repro.models import build, load_upstream_state
    from tal_repro.models.checkpoint_io import read_checkpoint

    data = open_data(context)
    detector: Any = build(context.spec.model, **dataclasses.asdict(data.recipe))
    load_upstream_state(detector, read_checkpoint(checkpoint))
    detector.to(context.device)
    found = Evaluator(data.dataset, data.features, detector, context.spec.precision).detect(detector)
    return found, find_layout(context.data_dir, data.dataset.layout).annotation_file


def _detect_upstream(context: Any, checkpoint: Path) -> tuple[pd.DataFrame, Path]:
    from tal_repro.detection.detections_io import read_detections
    from tal_repro.engines.upstream.released import evaluate_checkpoint

    with tempfile.TemporaryDirectory() as scratch:
        file, annotation_file = evaluate_checkpoint(context, checkpoint, Path(scratch))
        return read_detections(file, read_ground_truth(annotation_file)), annotation_file


def _row(spec: RunSpec, protocol: str, result: Any, published: tuple[float, str] | None) -> Row:
    average = 100 * result.average if result.instances else None
    maps = dict(zip(TIOUS, (100 * result.map_per_tiou).tolist(), strict=True)) if result.instances else {}
    synthetic = spec.data is not None and spec.data.synthetic
    comparable = published is not None and average is not None and not synthetic
    return {
        "model": model_entry(spec.model).title,
        "engine": spec.engine,
        "protocol": protocol,
        "synthetic": synthetic,
        "average_map": average,
        "maps": maps,
        "published_map": published[0] if published else None,
        "source": published[1] if published else None,
        "difference": average - published[0] if comparable and published and average is not None else None,
    }


def _record(writer: RunWriter, detections: pd.DataFrame, rows: list[Row]) -> None:
    """Write the run folder: one selection, `last`; the checkpoint's epoch is its authors' secret (-1)."""
    scored = [
        {
            "epoch": -1,
            "selection": "last",
            "weights": "ema",
            "protocol": row["protocol"],
            "tiou": float(tiou),
            "ap": value / 100,
        }
        for row in rows
        for tiou, value in row["maps"].items()
    ]
    writer.write_detections(detections)
    writer.write_metrics(
        scored,
        optimizer_steps=0,
        seconds={},
        table2_seconds=0.0,
        table2_definition="nothing was trained",
        released=rows,
    )
    if writer.store.state(writer.spec) == "done":  # the same checkpoint again: what is there stays
        shutil.rmtree(writer.paths.folder)
        return
    writer.finish(pid=os.getpid())
