"""A data folder on which a subset's videos alone are trained on, with no hook."""

from __future__ import annotations

from pathlib import Path

import pytest

from tal_repro.data.dataset import LayoutName
from tal_repro.data.layouts import find_layout
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_config import SyntheticConfig
from tal_repro.run.fewer_videos import UNUSED, with_videos
from tal_repro.untrusted import read_json_object


@pytest.mark.parametrize("layout", ["actionformer", "tadtr"])
def test_other_training_videos_are_unused_and_have_no_features(layout: LayoutName, tmp_path: Path) -> None:
    data = write_synthetic(tmp_path / "data", SyntheticConfig(3, 2, 4, 2, (5.0, 6.0)))
    whole = find_layout(data, layout)
    before = read_json_object(whole.annotation_file)["database"]
    training = [name for name, video in before.items() if video["subset"].lower() in ("val", "validation")]
    made = find_layout(with_videos(data, layout, training[:1], tmp_path / "fewer"), layout)
    after = read_json_object(made.annotation_file)["database"]
    assert list(after) == list(before)
    assert {name for name in before if after[name]["subset"] == UNUSED} == set(training[1:])
    assert [made.feature_file(name).exists() for name in training] == [True, False, False]
    assert len(list(made.feature_folder.iterdir())) == len(list(whole.feature_folder.iterdir())) - 2
