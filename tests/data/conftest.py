"""One small synthetic data set in both layouts, made once; tests that damage it work on a copy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_config import SyntheticConfig

# Seed 5 leaves test videos 2 to 12 free of the documented faults: tests damage those.
SMALL = SyntheticConfig(24, 40, feature_dim=16, classes=20, seconds=(12, 45), seed=5)
ACTIONFORMER_JSON = "data/thumos/annotations/thumos14.json"
TADTR_JSON = "data/thumos14/th14_annotations_with_fps_duration.json"
TADTR_INFO = "data/thumos14/th14_i3d2s_ft_info.json"
NPY = "data/thumos/i3d_features"
TENSORS = "data/thumos14/I3D_2stream_Pth"


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read-only."""
    return write_synthetic(tmp_path_factory.mktemp("data") / "small", SMALL)


@pytest.fixture
def copy(small: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(small, tmp_path / "copy"))


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    """Change a JSON file in place."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
