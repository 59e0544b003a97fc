"""TadTR beside the authors' code on whole videos, where float32 knows a position to a part of a step only."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from benchmarks.reference import cases
from tal_repro.models import model_entry, recipes

THIRD_PARTY = Path(__file__).parents[2] / "third_party"

pytestmark = pytest.mark.upstream


@pytest.mark.parametrize("steps", [1000, 3000])
def test_whole_videos(steps: int) -> None:
    from benchmarks.reference.tadtr import TadtrPair

    folder = THIRD_PARTY / model_entry("tadtr").submodule
    if not (folder / "main.py").exists():
        pytest.skip("third_party/TadTR is empty: run `make submodules`")
    torch.manual_seed(0)
    both = TadtrPair(recipes.TADTR, folder)
    both.use_named_weights(0)
    videos = cases.videos("whole", 0, 2048, [steps])
    exact = copy.copy(both)
    exact.side, exact.upstream = copy.deepcopy(both.side), copy.deepcopy(both.upstream).double()
    exact.side.model.double()
    exact.native = exact.side.model
    with torch.no_grad():
        single = both.raw(videos, training=False)
        double = exact.raw([v.double() for v in videos], training=False)
    for field, (ours, theirs) in double.items():
        scale = theirs.abs().max()
        assert (ours - theirs).abs().max() <= 1e-9 * scale, field
        # in float32 no farther from the truth than upstream itself
        error, upstreams = ((x.double() - theirs).abs().max() for x in single[field])
        assert error <= 1.5 * upstreams, f"{field}: {error:.1e} against {upstreams:.1e}"
