"""`jobs_per_gpu=measured`: as many runs as a kept report of gpu-check has room for on this very card, else one."""

from __future__ import annotations

import json
import os
import re
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tal_repro.errors import InputError
from tal_repro.machine.host import GIB
from tal_repro.run import room, start
from tal_repro.run.plan import make_plan
from tal_repro.run.room import Card, Host, kept_reports, measured_jobs
from tal_repro.runs.store import RunStore
from tal_repro.study import Study, load_study
from tests.measure.fake_nvml import FakeNvml, device, write_module

A10 = Card("NVIDIA A10", 23028.0, 5.0)
ROOMY = Host(64 * GIB, 8 * GIB, 16)
SWEEP = [run for run in load_study("paper").runs("core") if run.experiment == "data_sweep"]


def keep(folder: Path, name: str = "gpu-a10", **changes: Any) -> Path:
    """Keep a report of a card on which a step of TadTR takes 3 GiB."""
    report = {
        "schema": room.SCHEMA, "rehearsal": False, "fit": True,
        "card": {"product": "NVIDIA A10", "total_mib": 23028, "capability": [8, 6]},
        "step_mib": {"upstream": {"tadtr": 3072.0, "tridet": 9000.0}, "native": {"tadtr": 3072.0}},
    }  # fmt: skip
    path = folder / name / room.FILE_NAME
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({**report, **changes}))
    return path


def jobs(folder: Path, card: Card = A10, here: Host = ROOMY) -> tuple[int, str]:
    return measured_jobs(SWEEP, card, here, [folder])


def test_a_card_with_room_packs_the_sweeps(tmp_path: Path) -> None:
    path = keep(tmp_path)
    assert jobs(tmp_path) == (4, f"the largest takes 3.0 GiB, by {path}")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"card": {"product": "NVIDIA L4", "total_mib": 23028}}, "no kept report"),
        ({"card": {"product": "NVIDIA A10", "total_mib": 11000}}, "no kept report"),
        ({"rehearsal": True}, "no kept report"),
        ({"fit": False}, "in the way"),
        ({"step_mib": {"native": {"tadtr": 100.0}}}, r"did not measure tadtr \(upstream\)"),
        ({"step_mib": {"upstream": {"tadtr": -1}}}, "did not measure"),
        ({"step_mib": "much"}, "did not measure"),
    ],
)
def test_without_a_sound_report_of_this_card_nothing_is_packed(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    keep(tmp_path, **changes)
    found, why = jobs(tmp_path)
    assert found == 1
    assert re.search(reason, why), why


def test_no_report_at_all_packs_nothing(tmp_path: Path) -> None:
    assert jobs(tmp_path)[0] == 1


def test_the_machine_around_the_card_counts_when_the_runs_start(tmp_path: Path) -> None:
    keep(tmp_path)
    found, why = jobs(tmp_path, here=Host(64 * GIB, 2 * GIB, 16))
    assert (found, "3 lack shared memory" in why) == (2, True)
    assert jobs(tmp_path, card=Card("NVIDIA A10", 23028.0, 15000.0))[0] == 1, "somebody else fills the card"


def test_a_damaged_report_is_named_with_a_remedy(tmp_path: Path) -> None:
    path = keep(tmp_path, schema="another")
    with pytest.raises(InputError, match="is no report") as raised:
        list(kept_reports([tmp_path]))
    assert raised.value.where == str(path) and "gpu-check" in str(raised.value.remedy)


@pytest.mark.parametrize(("report", "most"), [(True, 2), (False, 1)], ids=["a report with room", "no report"])
def test_sweeps_share_the_stand_in_card_and_what_is_timed_does_not(
    tmp_path: Path, mini: Study, monkeypatch: pytest.MonkeyPatch, report: bool, most: int
) -> None:
    if report:
        keep(tmp_path / "reference", card={"product": "Fake A10", "total_mib": 9000})
    timed = '[[experiments]]\nexperiment = "baseline"\nmodels = ["tadtr"]\nseeds = [0, 1]\n'
    mini.path.write_text(mini.path.read_text() + timed)
    text = mini.path.read_text().replace("[data]", '[defaults]\nalone = ["baseline"]\n[data]')
    mini.path.write_text(text)
    study, store, said = load_study(str(mini.path), {"device": "cuda"}), RunStore(tmp_path / "runs"), []
    plan = make_plan(study, store, "core")
    memory = SimpleNamespace(used=5 * 2**20, total=9000 * 2**20)
    card = device(Name="Fake A10", MemoryInfo=memory, UtilizationRates=SimpleNamespace(gpu=0, memory=0))
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(card))
    write_module(tmp_path, total_mib=9000)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ['PYTHONPATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(room, "folders", lambda: [tmp_path / "reference"])
    monkeypatch.setattr(room, "host", lambda: ROOMY)
    seen: list[Counter[str]] = []
    begin = start.Runner._start

    def note(self: Any, run: Any, device: Any, alone: bool) -> None:
        begin(self, run, device, alone)
        seen.append(Counter(running.run.spec.experiment for running in self.running.values()))

    monkeypatch.setattr(start.Runner, "_start", note)
    measured = {"jobs_per_gpu": "measured"}
    summary = start.run_plan(plan, store, data_dir=None, machine=measured, say=said.append)
    assert summary.counts == {"done": 8}, summary.reasons
    assert max(sum(running.values()) for running in seen) == most
    assert all(sum(running.values()) == 1 for running in seen if running["baseline"])
    assert any("at a time on a GPU" in line for line in said)
