"""TadTR's slices of a set of one's own, at a stride of their own: the steps that they are said to take are read."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from tal_repro.data import open_features
from tal_repro.data.windows import tadtr_steps
from tal_repro.engines.native.session import open_data
from tests.data.made_up_set import define


def test_slices_read_every_second_step_where_the_definition_says_so(tmp_path: Path) -> None:
    path = define(tmp_path, "npy", videos=6, channels=8)
    path.write_text(path.read_text().replace("steps_per_second", "slice_stride_frames = 2\nsteps_per_second"))
    for model, every in (("tadtr", 2), ("actionformer", 1)):
        spec = SimpleNamespace(model=model, recipe={"num_classes": 5, "feature_dim": 8}, data=None)
        run = cast("Any", SimpleNamespace(spec=spec, data_dir=path, subset_ids=(), device="cpu"))
        data = open_data(run)
        video = data.dataset.train[0]
        rows = open_features(path).read(video.id, 0, video.feature_length)
        np.testing.assert_array_equal(data.features.read(video.id).numpy().T, rows[::every])
        if model == "tadtr":
            assert data.features.length(video.id) == tadtr_steps(video)[0]
