"""Features that do not fit their annotations are refused by `data verify` and by both engines, before any training."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from tal_repro.data.verify import verify
from tal_repro.engines.upstream.units import asked_units
from tal_repro.errors import InputError


@pytest.fixture
def wrong_stride(tmp_path):
    """Five videos in ActionFormer's layout with a step for every frame, not for every fourth."""
    (tmp_path / "annotations").mkdir()
    (tmp_path / "i3d_features").mkdir()
    database = {}
    for n in range(5):
        seconds, rows = 10.0 + 3 * n, np.random.default_rng(n).normal(size=(300 + 90 * n - 15, 8))
        np.save(tmp_path / f"i3d_features/v{n}.npy", rows.astype(np.float32))
        action = {"label": "a", "label_id": 0, "segment": [1 + n / 10, 4]}
        subset = "Test" if n < 2 else "Validation"
        database[f"v{n}"] = {"subset": subset, "duration": seconds, "fps": 30, "annotations": [action]}
    (tmp_path / "annotations/thumos14.json").write_text(json.dumps({"database": database}))
    return tmp_path


def run_on(folder, units):
    spec = SimpleNamespace(model="actionformer", recipe={"num_classes": 1, "feature_dim": 8}, data=None, subset=None)
    return SimpleNamespace(data_dir=folder, subset_ids=units, spec=spec, device="cpu")


def test_verify_names_the_stride_that_would_fit(wrong_stride) -> None:
    (error,) = [problem for problem in verify(wrong_stride)[0].problems if problem.severity == "error"]
    assert "5 of 5 files" in error.what and "a stride of 1 frames would fit" in error.what


@pytest.mark.parametrize("units", [(), ("v2", "v3")])
def test_both_engines_refuse_before_training(wrong_stride, units) -> None:
    session = pytest.importorskip("tal_repro.engines.native.session", reason="needs torch: make setup")
    run = run_on(wrong_stride, units)
    for start in (lambda: session.open_data(run), lambda: asked_units(run, "actionformer", 1)):
        with pytest.raises(InputError, match="a stride of 1 frames would fit"):
            start()


def test_a_test_video_among_the_training_units_is_refused(wrong_stride) -> None:
    path = wrong_stride / "annotations/thumos14.json"
    path.write_text(path.read_text().replace('"fps": 30', '"fps": 120'))  # now it fits
    assert verify(wrong_stride)[0].errors == 0
    with pytest.raises(InputError, match="v0: a test video among the training units"):
        asked_units(run_on(wrong_stride, ("v0", "v2")), "actionformer", 1)
