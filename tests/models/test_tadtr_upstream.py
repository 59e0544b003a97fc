"""TadTR beside the authors' code on whole videos, where float32 knows a position to a part of a step only."""

from __future__ import annotations

import copy

import pytest
import torch

from benchmarks.reference import cases
from tal_repro.engines.upstream.checkout import checkout_folder
from tal_repro.models import model_entry, recipes

pytestmark = pytest.mark.upstream


@pytest.mark.parametrize("steps", [1000, 3000])
def test_whole_videos(steps: int) -> None:
    from benchmarks.reference.tadtr import TadtrPair

    folder = checkout_folder(model_entry("tadtr"))
    if not (folder / "main.py").exists():
        pytest.skip(f"{folder} is empty: run `make submodules`, or set TAL_REPRO_THIRD_PARTY")
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
