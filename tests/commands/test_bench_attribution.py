"""`bench attribution` of the native engine: the steps are those of a training, the process is left as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tal_repro.commands import bench_attribution
from tal_repro.engines.native import attribution, freed_memory
from tal_repro.engines.native.trainer import Diverged
from tal_repro.errors import InputError
from tal_repro.run import training
from tal_repro.spec import RunSpec


@pytest.mark.parametrize("diverges", [False, True])
def test_steps_are_taken_with_the_memory_setting_of_a_training(
    diverges: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: RunSpec
) -> None:
    happened: list[Any] = []

    def steps(*_: Any) -> str:
        happened.append("steps")
        if diverges:
            raise Diverged("the loss is nan at optimizer step 0, on the batch of video_1")
        return "found"

    monkeypatch.setattr(training, "plan_training", lambda *_: spec)
    monkeypatch.setattr(attribution, "attribute_steps", steps)
    monkeypatch.setattr(freed_memory, "keep_freed_memory", lambda keep=True: happened.append(keep))
    if diverges:
        with pytest.raises(InputError, match="diverges"):
            bench_attribution.attribute_training("tadtr", tmp_path, {}, "cpu", 3)
    else:
        assert bench_attribution.attribute_training("tadtr", tmp_path, {}, "cpu", 3) == "found"
    assert happened == [True, "steps", False]
