"""Mean AP and recall against a literal scalar evaluator, closed forms, and (marker upstream) upstream's evaluators."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import sys
import types

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from tal_repro.cli import main
from tal_repro.detection.errors_tide import TYPES, error_types
from tal_repro.detection.matching import match
from tal_repro.detection.mean_ap import bootstrap_averages, bootstrap_interval, recalls, summarize
from tal_repro.engines.upstream.checkout import checkout_folder
from tal_repro.models.registry import model_entry
from tal_repro.thumos14 import TIOUS
from tests.detection.scalar_oracles import scalar_ap, segment_tiou

AF, TADTR = (checkout_folder(model_entry(name)) for name in ("actionformer", "tadtr"))


def mean_average_precision(detections, truth, tious=TIOUS, classes=()):
    return summarize(match(detections, truth, tious), detections, classes)


def recall_at(detections, truth, tious, k=(1, 5)):
    return recalls(match(detections, truth, tious), k)


def table(*rows):
    columns = ("video_id", "start_s", "end_s", "label", "score")
    return {name: [row[i] for row in rows] for i, name in enumerate(columns[: len(rows[0]) if rows else 5])}


def random_tables(seed, videos=12, classes=5, instances=60, detections=400, distinct_scores=True, grid=None):
    """Detections scattered about the instances, with duplicates, misses, and videos without any instance."""
    rng = np.random.default_rng(seed)
    truth = pd.DataFrame(
        {
            "video_id": [f"v{i}" for i in rng.integers(0, max(1, videos - 3), instances)],
            "start_s": rng.random(instances) * 50,
            "label": [f"class {i}" for i in rng.integers(0, classes, instances)],
        }
    )
    truth["end_s"] = truth.start_s + rng.exponential(6, instances) + 0.1
    found = truth.iloc[rng.integers(0, instances, detections)].reset_index(drop=True)
    found["start_s"] += rng.normal(0, 1.5, detections)
    found["end_s"] = np.maximum(found.start_s, found.end_s + rng.normal(0, 1.5, detections))
    stray = rng.random(detections) < 0.2
    found.loc[stray, "video_id"] = [f"v{i}" for i in rng.integers(0, videos, stray.sum())]
    found["score"] = rng.permutation(detections) / detections if distinct_scores else rng.integers(0, 5, detections) / 5
    if grid:
        for frame in (truth, found):
            frame["start_s"] = np.floor(frame.start_s / grid) * grid
            frame["end_s"] = np.ceil(frame.end_s / grid) * grid
    return found, truth


def by_hand(found, truth, tious):
    ap = []
    for label in sorted(set(truth["label"])):
        detections = [r[:4] for r in _rows(found) if r[4] == label]
        instances = [r[:3] for r in _rows(truth) if r[-1] == label]
        ap.append([scalar_ap(detections, instances, t) for t in tious])
    return np.array(ap)


def _rows(frame):
    names = ["video_id", "start_s", "end_s", *(["score"] if "score" in frame else []), "label"]
    return list(zip(*(np.asarray(frame[n]).tolist() for n in names), strict=True))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("distinct_scores", [True, False])
@pytest.mark.parametrize("grid", [None, 2.0])
def test_random_sets_equal_the_scalar_evaluator(seed, distinct_scores, grid) -> None:
    """With tied scores and, on the grid, tied tIoUs and repeated instances: the stable rule is the same."""
    found, truth = random_tables(seed, distinct_scores=distinct_scores, grid=grid)
    result = mean_average_precision(found, truth)
    np.testing.assert_allclose(result.ap, by_hand(found, truth, TIOUS), atol=1e-12)
    assert result.average == pytest.approx(result.ap.mean(), abs=1e-15)


def test_one_hit_after_one_miss_is_half() -> None:
    truth = table(("v", 0, 10, "a"))
    found = table(("v", 20, 30, "a", 0.9), ("v", 0, 10, "a", 0.8))
    assert mean_average_precision(found, truth, (0.5,)).ap.tolist() == [[0.5]]


def test_a_duplicate_is_a_false_positive_and_costs_nothing_after_the_last_hit() -> None:
    truth = table(("v", 0, 10, "a"), ("v", 20, 30, "a"))
    twice = table(("v", 0, 10, "a", 0.9), ("v", 0, 10, "a", 0.8), ("v", 20, 30, "a", 0.7))
    assert mean_average_precision(twice, truth, (0.5,)).average == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert match(twice, truth, (0.5,)).hit.tolist() == [[0, -1, 1]]


def test_a_detection_takes_the_next_best_free_instance() -> None:
    truth = table(("v", 0, 10, "a"), ("v", 2, 12, "a"))
    found = table(("v", 0, 10, "a", 0.9), ("v", 0, 10, "a", 0.8))
    assert match(found, truth, (0.3,)).hit.tolist() == [[0, 1]]


def test_a_class_without_ground_truth_is_named_and_not_averaged() -> None:
    truth = table(("v", 0, 10, "a"))
    found = table(("v", 0, 10, "a", 0.9), ("v", 0, 10, "b", 0.8))
    result = mean_average_precision(found, truth, classes=("a", "b", "c"))
    assert result.average == 1
    assert result.missing_classes == ("b", "c")
    assert result.ignored_detections == 1


def test_a_class_without_detections_scores_zero() -> None:
    result = mean_average_precision(table(("v", 0, 9, "a", 0.9)), table(("v", 0, 9, "a"), ("v", 0, 9, "b")))
    assert result.ap.mean(axis=1).tolist() == [1, 0]


def test_no_detections_at_all_score_zero() -> None:
    result = mean_average_precision(table(), table(("v", 0, 10, "a")))
    assert result.average == 0


def test_no_ground_truth_at_all_is_nan_not_zero() -> None:
    nothing = {"video_id": [], "start_s": [], "end_s": [], "label": []}
    assert np.isnan(mean_average_precision(table(("v", 0, 10, "a", 0.9)), nothing).average)


def test_two_instants_do_not_match() -> None:
    assert mean_average_precision(table(("v", 5, 5, "a", 0.9)), table(("v", 5, 5, "a"))).average == 0


@pytest.mark.parametrize("bad", [(), (0.0,), (1.5,)])
def test_thresholds_outside_0_to_1_are_refused(bad) -> None:
    with pytest.raises(ValueError, match="thresholds"):
        mean_average_precision(table(("v", 0, 1, "a", 0.5)), table(("v", 0, 1, "a")), bad)


def test_values_that_are_not_finite_are_refused_by_row() -> None:
    with pytest.raises(ValueError, match="score of row 1 is not finite"):
        mean_average_precision(table(("v", 0, 1, "a", 0.5), ("v", 0, 1, "a", np.nan)), table(("v", 0, 1, "a")))


@pytest.mark.parametrize("seed", range(3))
def test_recall_equals_a_literal_count(seed) -> None:
    found, truth = random_tables(seed)
    tious, ks = (0.3, 0.7), (1, 5)
    expected = np.zeros((2, 2))
    for a, tiou in enumerate(tious):
        for b, k in enumerate(ks):
            shares = []
            for _, of_class in truth.groupby("label"):
                hits = 0
                for video, instances in of_class.groupby("video_id"):
                    top = found[(found.video_id == video) & (found.label == of_class.label.iloc[0])]
                    top = top.sort_values("score", ascending=False).head(k * len(instances))
                    spans = list(zip(top.start_s, top.end_s, strict=True))
                    for one in zip(instances.start_s, instances.end_s, strict=True):
                        hits += any(segment_tiou(d, one) >= tiou for d in spans)
                shares.append(hits / len(of_class))
            expected[a, b] = np.mean(shares)
    np.testing.assert_allclose(recall_at(found, truth, tious, ks), expected, atol=1e-12)


def test_a_bootstrap_resample_is_the_map_of_the_copied_videos() -> None:
    found, truth = random_tables(5, detections=120)
    matched = match(found, truth, TIOUS)
    videos = len(matched.videos)
    draws = np.random.default_rng(3).multinomial(videos, np.full(videos, 1 / videos), size=4)
    copied = []
    for draw in draws:
        copies = [(name, f"{name}#{i}") for name, n in zip(matched.videos, draw, strict=True) for i in range(n)]
        frames = [
            pd.concat([frame[frame.video_id == old].assign(video_id=new) for old, new in copies])
            for frame in (found, truth)
        ]
        copied.append(mean_average_precision(*frames).average)
    np.testing.assert_allclose(bootstrap_averages(matched, videos, 4, seed=3), copied, atol=1e-12)


def test_the_interval_holds_the_estimate_and_repeats_with_its_seed() -> None:
    found, truth = random_tables(6)
    matched = match(found, truth, TIOUS)
    interval = bootstrap_interval(matched, videos=12, resamples=300)
    assert interval.low < mean_average_precision(found, truth).average < interval.high
    assert interval == bootstrap_interval(matched, videos=12, resamples=300)
    ends = np.percentile(bootstrap_averages(matched, 12, 300, seed=0), [2.5, 97.5])
    assert (interval.low, interval.high) == pytest.approx(tuple(ends))
    with pytest.raises(ValueError, match="resamples"):
        bootstrap_interval(matched, videos=12, resamples=1)


def test_every_error_gets_its_type() -> None:
    truth = table(("v", 0, 10, "a"), ("v", 20, 30, "a"), ("v", 60, 70, "b"), ("w", 0, 5, "b"), ("w", 50, 60, "a"))
    found = table(
        ("v", 0, 10, "a", 0.9),  # right
        ("v", 0, 9, "a", 0.8),  # duplicate
        ("v", 23, 37, "a", 0.7),  # localisation of the second
        ("v", 60, 70, "a", 0.6),  # confusion of the third
        ("w", 4, 10, "a", 0.5),  # both: wrong class, little overlap
        ("w", 80, 90, "b", 0.4),  # background
    )
    errors = error_types(found, truth, 0.5)
    by_row = dict(zip(match(found, truth, (0.5,)).row.tolist(), errors.kind.tolist(), strict=True))
    assert [by_row[i] for i in range(6)] == ["", "duplicate", "localisation", "confusion", "both", "background"]
    assert errors.counts == dict.fromkeys(TYPES, 1) | {"missed": 2}
    # class a: hits at ranks 1 of 3 instances; mended localisation adds the hit at rank 3
    assert errors.map_gain["localisation"] == pytest.approx((1 / 3 * 2 / 3) / 2)
    assert errors.map_gain["confusion"] == pytest.approx(1 / 2 / 2)
    assert errors.map_gain["background"] == 0
    assert errors.map_gain["missed"] == pytest.approx((1 / 2 - 1 / 3) / 2)


def test_a_perfect_detector_has_no_errors() -> None:
    _, truth = random_tables(7)
    errors = error_types(truth.assign(score=0.5), truth)
    assert set(errors.counts.values()) == {0}
    assert all(gain == 0 for gain in errors.map_gain.values())


# ---- against upstream's own evaluators


@pytest.fixture
def upstream_numpy(monkeypatch):
    monkeypatch.setattr(np, "float", float, raising=False)


def _module(name, path, monkeypatch, package=None):
    if not path.is_file():
        pytest.fail(f"{path} is not there: run `make submodules`, or set TAL_REPRO_THIRD_PARTY")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.upstream
@pytest.mark.parametrize("seed", range(3))
def test_actionformers_evaluator_agrees(seed, tmp_path, monkeypatch, upstream_numpy) -> None:
    joblib = pytest.importorskip("joblib", reason="pip install the upstream extra to run it")
    metrics = _module("af_metrics", AF / "libs" / "utils" / "metrics.py", monkeypatch)
    found, truth = random_tables(seed, classes=4)
    names = sorted(set(truth.label))
    database = {
        video: {
            "subset": "Test",
            "annotations": [
                {"segment": [r.start_s, r.end_s], "label": r.label, "label_id": names.index(r.label)}
                for r in rows.itertuples()
            ],
        }
        for video, rows in truth.groupby("video_id")
    }
    (tmp_path / "a.json").write_text(json.dumps({"database": database}))
    theirs = pd.DataFrame(
        {
            "video-id": found.video_id,
            "t-start": found.start_s,
            "t-end": found.end_s,
            "label": [names.index(n) for n in found.label],
            "score": found.score,
        }
    )
    with joblib.parallel_config(backend="sequential"), contextlib.redirect_stdout(io.StringIO()):
        evaluator = metrics.ANETdetection(str(tmp_path / "a.json"), "test", np.array(TIOUS))
        mean, average, recall = evaluator.evaluate(theirs)
    ours = mean_average_precision(found, truth)
    np.testing.assert_allclose(ours.map_per_tiou, mean, atol=1e-9)
    np.testing.assert_allclose(ours.ap.T, evaluator.ap, atol=1e-9)
    assert ours.average == pytest.approx(average, abs=1e-9)
    np.testing.assert_allclose(recall_at(found, truth, TIOUS), recall, atol=1e-9)
    assert evaluated_from_tables(tmp_path / "tables", found, truth) == pytest.approx(average, abs=1e-9)


def evaluated_from_tables(folder, found, truth):
    """Return the average mAP of `evaluate`: AFSD's annotations, a table of videos, ActionFormer's columns."""
    folder.mkdir()
    renamed = {"video_id": "video", "start_s": "start", "end_s": "end", "label": "type"}
    truth.rename(columns=renamed).to_csv(folder / "test_Annotation.csv", index=False)
    videos = pd.DataFrame({"video": sorted({*truth.video_id, *found.video_id}), "subset": "test"})
    videos.to_csv(folder / "videos.csv", index=False)
    names = {"video_id": "video-id", "start_s": "t-start", "end_s": "t-end"}
    detections = folder.with_suffix(".csv")
    found.rename(columns=names).to_csv(detections)
    words = ["evaluate", str(detections), str(folder), "--protocol", "activitynet", "--tiou", "0.3:0.7:0.1", "--json"]
    return json.loads(CliRunner().invoke(main, words, catch_exceptions=False).stdout)["average_map"]


@pytest.mark.upstream
@pytest.mark.parametrize("seed", range(3))
def test_tadtrs_evaluator_agrees(seed, monkeypatch, upstream_numpy) -> None:
    pytest.importorskip("joblib", reason="pip install the upstream extra to run it")
    package = types.ModuleType("Evaluation")
    package.__path__ = [str(TADTR / "Evaluation")]
    monkeypatch.setitem(sys.modules, "Evaluation", package)
    _module("Evaluation.utils", TADTR / "Evaluation" / "utils.py", monkeypatch)
    theirs = _module("Evaluation.eval_detection", TADTR / "Evaluation" / "eval_detection.py", monkeypatch)
    found, truth = random_tables(seed)
    ours = mean_average_precision(found, truth)
    renamed = {"video_id": "video-id", "start_s": "t-start", "end_s": "t-end"}
    for label, ap in zip(ours.classes, ours.ap, strict=True):
        parts = [f[f.label == label].rename(columns=renamed).reset_index(drop=True) for f in (truth, found)]
        np.testing.assert_allclose(theirs.compute_average_precision_detection(*parts, np.array(TIOUS)), ap, atol=1e-9)
