"""Whether bfloat16 is native: by a processor's flags, a GPU's compute capability, what is said before a run."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest

from tal_repro.run import bfloat16, system
from tal_repro.run.bfloat16 import has_native_bfloat16, warnings_of
from tal_repro.run.job import Job
from tal_repro.run.outcomes import DONE
from tal_repro.run.plan import make_plan
from tal_repro.run.signals import StopFlag
from tal_repro.run.start import run_plan
from tal_repro.run.worker import execute
from tal_repro.runs.record import RunRecord
from tal_repro.runs.store import RunStore
from tal_repro.spec import RunSpec
from tal_repro.study import Study, load_study
from tests.measure.fake_nvml import FakeNvml, NVMLError, device

ZEN3 = "processor\t: 0\nflags\t\t: fpu sse2 avx2 fma\n"


@pytest.mark.parametrize(
    ("cpuinfo", "native"),
    [
        (ZEN3, False),
        ("flags\t\t: avx2 avx512f avx512bw avx512_vnni\n", False),  # 512 bits wide, and no bfloat16 among them
        ("flags\t\t: avx2 avx512f avx512_bf16\n", True),
        ("flags\t\t: avx512f amx_tile amx_bf16 amx_int8\n", True),
        ("processor\t: 0\nFeatures\t: fp asimd asimdhp i8mm bf16\n", True),
        ("processor\t: 0\nFeatures\t: fp asimd asimdhp\n", False),
        ("flags_of_old : bf16\n", None),
        (None, None),
    ],
)
def test_a_processor_says_by_its_flags(tmp_path: Path, cpuinfo: str | None, native: bool | None) -> None:
    path = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        path.write_text(cpuinfo)
    assert has_native_bfloat16("cpu", path) is native


def test_this_processor_is_seen_as_torch_sees_it() -> None:
    torch: Any = pytest.importorskip("torch")
    seen = torch.cpu.get_capabilities()
    wanted = any(seen.get(flag, False) for flag in ("avx512_bf16", "amx_bf16", "bf16"))
    assert has_native_bfloat16("cpu") in (wanted, None)


@pytest.mark.parametrize(("capability", "native"), [((7, 5), False), ((8, 0), True), ((9, 0), True), (None, None)])
def test_a_gpu_says_by_its_compute_capability(
    capability: tuple[int, int] | None, native: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = NVMLError(3) if capability is None else capability
    fake = FakeNvml(device(), device(uuid="GPU-1", CudaComputeCapability=told))
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert has_native_bfloat16("cuda:1") is native


@pytest.mark.parametrize(
    ("precision", "kind", "native", "told"),
    [
        ("bf16", "cpu", False, "cpu has no bfloat16 arithmetic (no AVX512-BF16"),
        ("bf16", "cuda", False, "cuda:0 has no bfloat16 arithmetic (it wants Ampere"),
        ("bf16", "cpu", True, None),
        ("bf16", "cpu", None, None),
        ("fp32", "cpu", False, None),
    ],
)
def test_an_emulated_run_is_told_of_before_it_starts(
    spec: RunSpec, precision: Any, kind: Any, native: bool | None, told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bfloat16, "has_native_bfloat16", lambda device: native)
    run = dataclasses.replace(spec, precision=precision, device_kind=kind)
    said = warnings_of([run, run], ["cpu", "cuda:0"])
    assert len(said) == (told is not None)
    assert told is None or (told in said[0] and "slower than fp32" in said[0])


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (bfloat16, system):
        monkeypatch.setattr(module, "has_native_bfloat16", lambda device: False)


def test_a_study_says_so_before_its_runs(mini: Study, store: RunStore, emulated: None) -> None:
    said: dict[str, list[str]] = {}
    for precision in ("fp32", "bf16"):
        plan = make_plan(load_study(mini.given, {"precision": precision}), store, "core")
        run_plan(plan, store, data_dir=None, jobs=2, say=said.setdefault(precision, []).append)
    assert "emulated" not in " ".join(said["fp32"])
    assert len([line for line in said["bf16"] if line.startswith("warning: cpu has no bfloat16")]) == 1


def test_a_run_says_so_itself_and_keeps_it(
    mini: Study, store: RunStore, emulated: None, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = dataclasses.replace(mini.runs()[0], precision="bf16")
    assert execute(Job(spec.to_json(), str(store.root), None, "cpu"), spec, store, StopFlag(), log=False) == DONE
    assert "precision bf16 is emulated there, which is slower than fp32" in capsys.readouterr().err
    assert RunRecord(store.folder(spec)).system["device"] == {"name": "cpu", "native_bfloat16": False}
