"""The experiment `released`: the authors' own checkpoint evaluated here, set beside the mAP they print.

The cheapest reproduction there is: no training. A checkpoint from elsewhere is only ever read with `weights_only`; the
upstream engine is given a file of bare weights that this run wrote from it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tal_repro.detection.detections_io import read_ground_truth
from tal_repro.detection.mean_ap import MapResult
from tal_repro.detection.protocols import PROTOCOLS, GroundTruth, evaluate
from tal_repro.engines.adapter import Adapter, RunContext
from tal_repro.engines.registry import engine_for, engine_version
from tal_repro.errors import InputError
from tal_repro.interrupt import PATIENCE_S
from tal_repro.models.registry import model_entry
from tal_repro.run.inputs import Inputs
from tal_repro.run.job import Job
from tal_repro.run.outcomes import BUSY, DONE, FAILED, OUTCOMES, STOPPED, read_outcome
from tal_repro.run.released_files import how_to_get
from tal_repro.run.signals import StopFlag
from tal_repro.run.worker import run_job
from tal_repro.runs.folder import RunPaths
from tal_repro.runs.record import RunRecord
from tal_repro.runs.store import RunStore
from tal_repro.runs.writer import RunWriter
from tal_repro.spec import DataSpec, RunSpec
from tal_repro.thumos14 import TIOUS

if TYPE_CHECKING:
    import pandas as pd

UNKNOWN_EPOCH = -1  # which one a released checkpoint is of is its authors' to say
Row = dict[str, Any]


@dataclass(frozen=True)
class Evaluated:
    """What an engine made of a checkpoint; `own_print` sets the kit's mAP beside what the authors' script printed."""

    detections: pd.DataFrame
    annotation_file: Path
    own_protocol: str = ""  # of the authors' evaluation, where that made the detections
    own_print: tuple[Row, ...] = ()


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
    maps (percent, by tIoU; None and {} where the authors' evaluation dropped a video that counts), published_map (None
    where there is none under that protocol), source, difference. Raises InputError for a checkpoint that is missing,
    unsafe or of another model; where the authors' script fails, its log stays in the run's `.failed` folder.
    """
    if model_entry(model).own:
        remedy = "score its detections: tal-repro evaluate"
        raise InputError(f"{model} is a model of your own: nobody released a checkpoint", remedy=remedy)
    engine = engine_for(model, engine)
    if not checkpoint.is_file():
        raise InputError("no such checkpoint", checkpoint, how_to_get(model))
    planned = _spec(model, checkpoint, data_dir, engine, overrides)
    (spec,) = Inputs(data_dir, results).with_digests([planned])
    store = RunStore(results)

    def perform(context: RunContext, _: Adapter) -> None:
        with stop.raising():
            _evaluate(context, checkpoint, published)

    stop = StopFlag(PATIENCE_S)
    outcome = run_job(Job(spec.to_json(), str(results), str(data_dir), device), log=False, stop=stop, perform=perform)
    if outcome == STOPPED:
        raise SystemExit(stop.exit_status)
    if outcome != DONE:
        raise InputError(_why(outcome, store, spec), store.folder(spec).parent, "the same command starts it again")
    rows: list[Row] = RunRecord(store.folder(spec), checked=True).metrics["released"]
    return rows


def _why(outcome: int, store: RunStore, spec: RunSpec) -> str:
    if outcome == BUSY:
        return f"another process is at run {spec.name}"
    reason = read_outcome(store, spec) or OUTCOMES.get(outcome, "killed")
    if outcome == FAILED:
        reason += f"; its log: {RunPaths(store.failed(spec)).log}"
    return reason


def _evaluate(context: RunContext, checkpoint: Path, published: Mapping[str, tuple[float, str]]) -> None:
    """Score the checkpoint's detections under every protocol and write the run's files."""
    spec = context.spec
    evaluated, weights = _detect(context, checkpoint)
    truth = read_ground_truth(evaluated.annotation_file)
    rows = [_row(spec, protocol, _score(evaluated, truth, protocol), published.get(protocol)) for protocol in PROTOCOLS]
    _record(context.record, evaluated, rows, weights)


def _read_weights(spec: RunSpec, checkpoint: Path) -> tuple[Any, Mapping[str, Any], str]:
    """Return the native model with the checkpoint's weights, the weights by upstream's names, and which they are.

    Both engines go through here: a missing, surplus or mis-shaped weight is refused by name before anything is run.
    """
    from tal_repro.models import build, load_upstream_state
    from tal_repro.models.checkpoint_io import read_checkpoint
    from tal_repro.models.upstream_weights import select_state

    content = read_checkpoint(checkpoint)
    detector: Any = build(spec.model, **spec.recipe)
    load_upstream_state(detector, content)
    return detector, select_state(content), "ema" if isinstance(content.get("state_dict_ema"), dict) else "raw"


def _spec(model: str, checkpoint: Path, data_dir: Path, engine: str, overrides: Mapping[str, Any]) -> RunSpec:
    from tal_repro.data import open_features
    from tal_repro.engines.upstream.job import sha256
    from tal_repro.run.datasets import dataset_of, open_dataset
    from tal_repro.study import resolve_recipe

    dataset = dataset_of(data_dir, model)
    if dataset.derived:
        what = f"its checkpoint was trained on the authors' features, those here are derived ({dataset.name})"
        raise InputError(what, data_dir, "fetch the authors' own: tal-repro data fetch thumos14 --layout tadtr")
    fitted = {"feature_dim": open_features(data_dir).dim, "num_classes": len(dataset.classes), **overrides}
    spec = RunSpec(
        experiment="released",
        model=model,
        engine=engine,  # type: ignore[arg-type]
        engine_version=engine_version(model, engine, "released"),
        recipe=resolve_recipe(model, engine, fitted),
        data=DataSpec(dataset.name, dataset.version, dataset.annotation_hash, dataset.synthetic),
        options={"checkpoint_sha256": sha256(checkpoint)},
    )
    open_dataset(data_dir, spec)  # refuses what the model's features are not
    return spec


def _detect(context: RunContext, checkpoint: Path) -> tuple[Evaluated, str]:
    """Return the checkpoint's detections, and which of its weights made them."""
    if model_entry(context.spec.model).adapter:
        from tal_repro.engines.upstream.released import evaluate_content
        from tal_repro.models.checkpoint_io import read_checkpoint

        content = read_checkpoint(checkpoint)
        return _detect_upstream(context, lambda work: evaluate_content(context, content, work))
    detector, state, weights = _read_weights(context.spec, checkpoint)
    if context.spec.engine == "native":
        return _detect_native(context, detector), weights
    from tal_repro.engines.upstream.released import evaluate_weights

    return _detect_upstream(context, lambda work: evaluate_weights(context, state, weights, work))


def _detect_native(context: RunContext, detector: Any) -> Evaluated:
    from tal_repro.data.layouts import find_layout
    from tal_repro.engines.native.evaluation import Evaluator
    from tal_repro.engines.native.session import open_data

    assert context.data_dir is not None
    data = open_data(context)
    detector.to(context.device)
    detections = Evaluator(data.dataset, data.features, detector, context.spec.precision).detect(detector)
    return Evaluated(detections, find_layout(context.data_dir, data.dataset.layout).annotation_file)


def _detect_upstream(context: RunContext, by_script: Callable[[Path], Any]) -> tuple[Evaluated, str]:
    """Let the authors' script evaluate in a folder that is deleted; set the kit's mAP beside its own print."""
    from tal_repro.engines.registry import get_adapter
    from tal_repro.engines.upstream import scores

    protocol = get_adapter(context.spec.model, "upstream").protocol  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as scratch:
        evaluation, annotation_file = by_script(Path(scratch))
        truth = read_ground_truth(annotation_file)
        chosen = {(model_entry(context.spec.model).reported.selection, evaluation.weights): evaluation}
        _, _, compared = scores.metric_rows(chosen, truth, protocol)
        detections = scores.reported(evaluation.detections, truth)
        return Evaluated(detections, annotation_file, protocol, tuple(compared)), evaluation.weights


def _score(evaluated: Evaluated, truth: GroundTruth, protocol: str) -> MapResult | None:
    """Return the mAP under a protocol; None where it cannot be had from these detections."""
    evaluation = evaluate(evaluated.detections, truth, protocol)
    if evaluated.own_protocol:
        from tal_repro.engines.upstream.scores import scorable

        return evaluation.result if scorable(evaluation, evaluated.detections, evaluated.own_protocol) else None
    return evaluation.result if evaluation.result.instances else None


def _row(spec: RunSpec, protocol: str, result: MapResult | None, published: tuple[float, str] | None) -> Row:
    average = 100 * result.average if result else None
    maps = dict(zip(map(str, TIOUS), (100 * result.map_per_tiou).tolist(), strict=True)) if result else {}
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


def _record(writer: RunWriter, evaluated: Evaluated, rows: list[Row], weights: str) -> None:
    """Write the detections and scores, with the one selection that the checkpoint's authors report."""
    scored = [
        {
            "epoch": UNKNOWN_EPOCH,
            "selection": model_entry(writer.spec.model).reported.selection,
            "weights": weights,
            "protocol": row["protocol"],
            "tiou": float(tiou),
            "ap": value / 100,
        }
        for row in rows
        for tiou, value in row["maps"].items()
    ]
    flags = [] if len(evaluated.detections) else ["no-detections"]
    flags += [f"differs-from-upstream-print: {row}" for row in evaluated.own_print if not row["agrees"]]
    writer.write_detections(evaluated.detections)
    writer.write_metrics(
        scored,
        optimizer_steps=0,
        seconds={},
        table2_seconds=0.0,
        table2_definition="nothing was trained",
        flags=flags,
        released=rows,
        own_print=list(evaluated.own_print),
    )
