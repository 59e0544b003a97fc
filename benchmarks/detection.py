"""Time post-processing and mean AP at THUMOS14's size, side by side with a plain numpy soft-NMS and, where they are to
be had, with upstream's compiled extension and ActionFormer's evaluator. All candidates and detections are synthetic.

    python -m benchmarks.detection [--videos 213] [--per-video 200 2000] [--extension FOLDER] [--out FILE]

The contestants alternate video by video (A B A B); each ratio comes with its range over videos or rounds, and only
counts if the outputs are the same list, order included. `--extension` is a folder that holds a built `nms_1d_cpu`.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import skeleton
from benchmarks.reference.report import describe_run
from tal_repro.detection.decay import areas, weights
from tal_repro.detection.matching import match
from tal_repro.detection.mean_ap import MapResult, recalls, summarize
from tal_repro.detection.nms import multiclass_soft_nms
from tal_repro.engines.upstream.checkout import checkout_folder
from tal_repro.models import model_entry
from tal_repro.thumos14 import TIOUS

CANDIDATES, LEVELS, STEPS, CLASSES = 12_000, 6, 2304, 20
INSTANCES = 3358
REPEATS = 5  # of our evaluation in a round
Candidates = tuple[np.ndarray, np.ndarray, np.ndarray]


def candidates(rng: np.random.Generator, trained: bool) -> Candidates:
    """Return a full video's candidates: 2000 of each level; a trained head favours one class and its actions."""
    per_level = CANDIDATES // LEVELS
    actions = int(rng.integers(3, 25))
    centre, length = rng.random(actions) * STEPS, rng.lognormal(1.05, 0.83, actions) * 30 / 4
    parts = []
    for stride in 2 ** np.arange(LEVELS):
        middle = (rng.integers(0, STEPS // stride, per_level) + 0.5) * stride
        span, label = rng.exponential(4 * stride, per_level), rng.integers(0, CLASSES, per_level)
        logit = rng.normal(-5, 0.6, per_level)
        if trained:
            action, near = rng.integers(0, actions, per_level), rng.random(per_level) < 0.5
            middle = np.where(near, centre[action] + rng.normal(0, 0.3, per_level) * length[action], middle)
            span = np.where(near, length[action] * np.exp(rng.normal(0, 0.3, per_level)), span)
            label = np.where(rng.random(per_level) < 0.7, 3, label)
            logit = np.where(near, rng.normal(-1, 1.5, per_level), rng.normal(-5.5, 0.8, per_level))
        order = np.argsort(-logit)
        ends = np.stack([middle - span * rng.random(per_level), middle + span * rng.random(per_level)], axis=1)
        parts.append((ends[order], 1 / (1 + np.exp(-logit[order])), label[order]))
    segments, scores, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
    keep = (scores > 0.001) & (segments[:, 1] - segments[:, 0] > 0.05)
    return segments[keep].astype(np.float32), scores[keep].astype(np.float32), labels[keep]


def plain(segments: np.ndarray, scores: np.ndarray, labels: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (index, score): soft-NMS class by class to the end, a vectorised decay for each selection."""
    kept: list[tuple[np.ndarray, np.ndarray]] = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        start, end, score = segments[members, 0], segments[members, 1], scores[members].copy()
        area, chosen, at = areas(segments[members]), [], []
        while len(members):
            best = int(score.argmax())
            chosen.append(members[best])
            at.append(score[best])
            shared = np.maximum(np.minimum(end, end[best]) - np.maximum(start, start[best]), np.float32(0))
            score = score * weights(shared / (area[best] + area - shared), "gaussian", np.float32(0.1), np.float32(0.5))
            stay = score >= np.float32(0.001)
            stay[best] = False
            members, start, end, score, area = members[stay], start[stay], end[stay], score[stay], area[stay]
        kept.append((np.array(chosen), np.array(at)))
    index, score = (np.concatenate(column) for column in zip(*kept, strict=True))
    order = np.argsort(-score, kind="stable")[:most]
    return index[order], score[order]


def compiled(folder: Path) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Return upstream's flow around its extension: each class to the end, then one sort."""
    import torch

    torch.set_num_threads(1)
    sys.path.insert(0, str(folder))
    extension = importlib.import_module("nms_1d_cpu")

    def run(segments: np.ndarray, scores: np.ndarray, labels: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
        segs, score, label = map(torch.from_numpy, (segments, scores, labels))
        indices, values = [], []
        for one in torch.unique(label):
            members = torch.where(label == one)[0]
            buffer = segs.new_empty((len(members), 3))
            found = extension.softnms(segs[members], score[members], buffer, 0.1, 0.5, 0.001, 2)[:most]
            indices.append(members[found])
            values.append(buffer[: len(found), 2])
        value, order = torch.cat(values).sort(descending=True, stable=True)
        return torch.cat(indices)[order[:most]].numpy(), value[:most].numpy()

    return run


def timed(function: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Return (CPU seconds, result): all contestants are single-threaded, and a busy machine disturbs these least."""
    begin = time.process_time()
    result = function(*arguments)
    return time.process_time() - begin, result


def bench_postprocessing(videos: int, others: dict[str, Callable[..., Any]]) -> list[dict[str, Any]]:
    """Return a row per (kind of head, outputs, contestant)."""
    rows = []
    for trained in (False, True):
        rng = np.random.default_rng(0)
        test_set = [candidates(rng, trained) for _ in range(videos)]
        for most in (200, 2000):
            seconds: dict[str, list[float]] = {name: [] for name in ("ours", *others)}
            same = dict.fromkeys(others, True)
            for video in test_set:
                took, (index, score) = timed(multiclass_soft_nms, *video, most)
                seconds["ours"].append(took)
                for name, other in others.items():
                    took, (their_index, their_score) = timed(other, *video, most)
                    seconds[name].append(took)
                    same[name] &= np.array_equal(index, their_index) and np.array_equal(score, their_score)
            for name in others:
                rows.append(
                    _row(
                        f"soft-NMS, {'trained' if trained else 'untrained'} head, {most} outputs, {videos} videos",
                        name,
                        seconds[name],
                        seconds["ours"],
                        same[name],
                    )
                )
    return rows


def detections(rng: np.random.Generator, per_video: int, videos: int = 212) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return (detections, instances) of a THUMOS14-sized test set: most detections near an instance, of its class."""
    share = rng.lognormal(2.04, 1.18, videos)
    video = np.sort(rng.choice(videos, INSTANCES, p=share / share.sum()))
    label = np.arange(videos)[video] % CLASSES
    start = rng.random(INSTANCES) * 200
    truth = pd.DataFrame({"video_id": [f"video_test_{v:07d}" for v in video], "start_s": start})
    truth["end_s"], truth["label"] = start + rng.lognormal(1.05, 0.83, INSTANCES), label
    source = rng.integers(0, INSTANCES, per_video * videos)
    found = truth.iloc[source].reset_index(drop=True)
    length = (found.end_s - found.start_s).to_numpy()
    found["start_s"] += rng.normal(0, 0.5, len(found)) * length
    found["end_s"] = np.maximum(found.start_s + 0.01, found.end_s + rng.normal(0, 0.5, len(found)) * length)
    wrong = rng.random(len(found)) < 0.3
    found.loc[wrong, "label"] = rng.integers(0, CLASSES, wrong.sum())
    found["score"] = rng.permutation(len(found)) / len(found)
    return found, truth


def bench_mean_ap(checkout: Path, per_video: int, rounds: int) -> dict[str, Any]:
    """Return the row of ActionFormer's evaluator, which TriDet and TemporalMaxer use too, against ours.

    Both compute AP and recall at 1x and 5x. Ours takes milliseconds, so a round repeats it.
    """
    found, truth = detections(np.random.default_rng(1), per_video)
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    with _their_evaluation(checkout, found, truth) as evaluate:
        for _ in range(rounds):
            took, (mean, _, recall) = timed(evaluate)
            times["theirs"].append(took)
            took, (result, ours_recall) = timed(_our_evaluation, found, truth)
            times["ours"].append(took / REPEATS)
    difference = max(np.abs(result.map_per_tiou - mean).max(), np.abs(ours_recall - recall).max())
    title = f"mAP and recall, 212 videos x {per_video} detections x 5 tIoUs"
    row = _row(title, "ActionFormer's evaluator", times["theirs"], times["ours"], bool(difference < 1e-9))
    return {**row, "per_video": per_video, "rounds": rounds, "largest_difference": float(difference)}


def _our_evaluation(found: pd.DataFrame, truth: pd.DataFrame) -> tuple[MapResult, np.ndarray]:
    for _ in range(REPEATS):
        matched = match(found, truth, TIOUS)
        answer = summarize(matched, found), recalls(matched)
    return answer


@contextlib.contextmanager
def _their_evaluation(checkout: Path, found: pd.DataFrame, truth: pd.DataFrame) -> Iterator[Callable[[], Any]]:
    """Give a function that evaluates `found` with the authors' code: single-threaded, silent, on a table of its own."""
    import joblib

    vars(np)["float"] = float  # the evaluator needs the alias that numpy dropped
    spec = importlib.util.spec_from_file_location("their_metrics", checkout / "libs" / "utils" / "metrics.py")
    assert spec and spec.loader
    metrics = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(metrics)
    database: dict[str, Any] = {v: {"subset": "test", "annotations": []} for v in truth.video_id.unique()}
    for row in truth.itertuples():
        event = {"segment": [row.start_s, row.end_s], "label": str(row.label), "label_id": row.label}
        database[row.video_id]["annotations"].append(event)
    theirs = found.rename(columns={"video_id": "video-id", "start_s": "t-start", "end_s": "t-end"})
    with tempfile.TemporaryDirectory() as folder, joblib.parallel_config(backend="sequential"):
        path = Path(folder) / "annotations.json"
        path.write_text(json.dumps({"database": database}))
        evaluator = metrics.ANETdetection(str(path), "test", np.array(TIOUS))
        with contextlib.redirect_stdout(io.StringIO()):
            yield lambda: evaluator.evaluate(theirs.copy())


def _show(row: dict[str, Any]) -> dict[str, Any]:
    low, high = row["ratio_range"]
    times = f"{row['their_cpu_seconds']:.3g} CPU s, ours {row['our_cpu_seconds']:.3g} s"
    ratio = f"{row['ratio']:.3g} x ({low:.3g} to {high:.3g})"
    print(f"{row['case']}: {row['against']} {times}, {ratio}, same output: {row['same_output']}", flush=True)
    return row


def _row(title: str, other: str, theirs: list[float], ours: list[float], same: bool) -> dict[str, Any]:
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    row = {
        "case": title,
        "against": other,
        "their_cpu_seconds": sum(theirs),
        "our_cpu_seconds": sum(ours),
        "ratio": sum(theirs) / sum(ours),
        "ratio_median": statistics.median(ratios),
        "ratio_range": [min(ratios), max(ratios)],
        "same_output": same,
    }
    return _show(row)


def main() -> None:
    """Run the comparisons and print a table; write it as JSON with `--out`."""
    parser = skeleton.parser(__doc__)
    parser.add_argument("--videos", type=int, default=213)
    parser.add_argument(
        "--per-video", type=int, nargs="*", default=[200], help="detections; 2000 takes minutes a round"
    )
    parser.add_argument("--rounds", type=int, default=2, help="of 200 detections a video; fewer of more")
    parser.add_argument(
        "--evaluator", type=Path, default=checkout_folder(model_entry("actionformer")), help="a checkout"
    )
    parser.add_argument("--extension", type=Path, help="folder of a built nms_1d_cpu")
    options = parser.parse_args()
    others: dict[str, Callable[..., Any]] = {"plain numpy": plain}
    if options.extension:
        others["compiled extension"] = compiled(options.extension)
    report = describe_run(["actionformer"], options.evaluator.parent, 0)
    report |= {"schema": "tal-repro/bench-detection/1", "synthetic": True, "threads": 1}
    report["rows"] = bench_postprocessing(options.videos, others) if options.videos else []
    _write(report, options.out)
    if (options.evaluator / "libs").is_dir():
        rounds = {n: max(options.rounds * 200 // n, 1) for n in options.per_video}
        for n in options.per_video:
            report["rows"].append(bench_mean_ap(options.evaluator, n, rounds[n]))
            _write(report, options.out)  # after each size: the next may take minutes
    else:
        print(f"no evaluator at {options.evaluator}: run `make submodules` to compare with it", file=sys.stderr)


def _write(report: dict[str, Any], path: Path | None) -> None:
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
