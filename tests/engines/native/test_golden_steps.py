"""Twenty training steps of each model give the numbers that they gave: losses, gradients, weights and their average.

Processors differ by 2e-5 at most (AVX-512, AVX2 and neither; one thread and two).
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.engines.native import golden_steps

RELATIVE, ABSOLUTE = 2e-4, 1e-6


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return golden_steps.make_data(tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("model", golden_steps.MODELS)
def test_twenty_steps_give_what_they_gave(model: str, data: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    golden = json.loads(golden_steps.FILE.read_text())["models"][model]
    trace = golden_steps.trace(model, data, tmp_path)
    assert trace.keys() == golden.keys()
    for name, values in trace.items():
        assert values == pytest.approx(golden[name], rel=RELATIVE, abs=ABSOLUTE), name
    clips = golden_steps.SMALL[model]["clip_norm"]
    assert max(golden["gradient"]) > 2 * clips >= 2 * max(golden["clipped"]) - 1e-5, "a step here should be clipped"
