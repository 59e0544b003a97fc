"""GPUs without a GPU: who may share one, who must be alone, and how a minute of training becomes an estimate."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from tal_repro.errors import InputError
from tal_repro.machine import gpus
from tal_repro.machine.gpus import Gpu
from tal_repro.run import devices, outcomes, probe, runner, worker
from tal_repro.run.devices import Device, find_devices
from tal_repro.run.executors.local import LocalPool
from tal_repro.run.job import Job
from tal_repro.run.packing import Packing
from tal_repro.run.plan import make_plan
from tal_repro.run.progress import Progress
from tal_repro.run.runner import Runner, Settings
from tal_repro.runs.store import RunStore
from tal_repro.study import Study, load_study
from tests.measure.fake_nvml import FakeNvml, NVMLError, device


def use(used: float, busy: float) -> Gpu:
    return Gpu(0, "", (8, 6), total_mib=24000, used_mib=used, utilisation_percent=busy)


@pytest.mark.parametrize(
    ("peak", "busy", "runs"),
    [(3000, 40, 2), (9500, 10, 2), (10500, 10, 1), (20000, 10, 1), (500, 5, 8), (3000, 95, 1)],
)
def test_packing_is_bound_by_memory_and_utilisation(peak: float, busy: float, runs: int) -> None:
    packing = Packing()
    packing.look(use(1000, 0))
    for _ in range(4):
        packing.look(use(1000 + peak, busy))
    assert packing.decide() == runs


def test_a_run_too_short_decides_nothing() -> None:
    packing = Packing()
    packing.look(use(0, 0))
    packing.look(use(3000, 50))
    assert packing.decide() is None


@pytest.fixture
def on_cuda(mini: Study) -> Study:
    return load_study(str(mini.path), {"device": "cuda"})


def drive(study: Study, store: RunStore, found: list[Device]) -> runner.Summary:
    plan = make_plan(study, store, "core")
    progress = Progress(len(plan.pending), 1.0, 1, io.StringIO())
    settings = Settings(study.given, None, study.alone)
    return Runner(plan.pending, store, LocalPool(["standin"]), found, settings, progress).run()


def test_auto_watches_one_run_and_then_shares_the_device(
    on_cuda: Study, store: RunStore, stand_in: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(epochs=1, epoch_seconds=1.2)
    looks = iter([use(100, 0)])
    monkeypatch.setattr(runner, "gpu_use", lambda name: next(looks, use(3100, 30)))
    device = Device("cuda:0", 1, packing=Packing())
    assert drive(on_cuda, store, [device]).counts == {"done": 6}
    assert device.capacity == 3 and device.packing is None
    alone = [record.system["alone"] for record in store.records()]
    assert alone.count(True) <= 1, "only the first one can have had the device to itself; it had, on a quiet machine"


def test_without_nvml_nothing_is_shared(on_cuda: Study, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> Gpu:
        raise InputError("NVML does not answer")

    monkeypatch.setattr(runner, "gpu_use", refuse)
    device = Device("cuda:0", 1, packing=Packing())
    assert drive(on_cuda, store, [device]).counts == {"done": 6}
    assert device.capacity == 1


def test_a_timing_run_never_shares_and_is_never_joined(on_cuda: Study) -> None:
    spec = on_cuda.runs()[0]
    device = Device("cuda:0", 2)
    device.take(0, spec, alone=False)
    assert device.admits(spec, alone=False) and not device.admits(spec, alone=True)
    device.free(0)
    assert device.admits(spec, alone=True)
    device.take(0, spec, alone=True)
    assert not device.admits(spec, alone=False)
    device.free(0)
    assert device.admits(spec, alone=False)
    assert not device.admits(dataclasses.replace(spec, device_kind="cpu"), alone=False)


def test_a_run_that_only_writes_lets_the_next_one_start_on_a_cpu(on_cuda: Study) -> None:
    spec = dataclasses.replace(on_cuda.runs()[0], device_kind="cpu")
    device = Device("cpu", 1)
    device.take(0, spec, alone=False)
    device.leave(0)
    assert device.admits(spec, alone=False) and not device.admits(spec, alone=True)
    device.take(1, spec, alone=False)
    assert not device.admits(spec, alone=False)
    device.free(0)
    assert not device.admits(spec, alone=False)
    device.leave(1)
    device.free(1)
    assert device.admits(spec, alone=True) and not device.leaving


def test_a_gpu_is_free_only_when_its_process_has_ended(on_cuda: Study) -> None:
    device = Device("cuda:0", 1)
    device.take(0, on_cuda.runs()[0], alone=False)
    device.leave(0)
    assert not device.admits(on_cuda.runs()[0], alone=False)


def test_a_run_says_that_it_computes_no_more_before_it_ends(
    on_cuda: Study, store: RunStore, stand_in: Callable[..., None]
) -> None:
    stand_in(epochs=1, epoch_seconds=0.0)
    pool = LocalPool(["standin"])
    spec = on_cuda.runs()[0]
    pool.start(3, Job(spec.to_json(), str(store.root), None, "cpu"))
    told: list[tuple[int, int | None]] = []
    while (3, outcomes.DONE) not in told:
        told += pool.poll(5.0)
    pool.close()
    assert told == [(3, None), (3, outcomes.DONE)]


def test_a_killed_server_is_noticed_although_its_run_holds_the_pipe(
    on_cuda: Study, store: RunStore, stand_in: Callable[..., None]
) -> None:
    stand_in(epochs=1, epoch_seconds=30.0)
    pool = LocalPool(["standin"])
    spec = on_cuda.runs()[0]
    pool.start(0, Job(spec.to_json(), str(store.root), None, "cpu"))
    while store.state(spec) != "partial":
        pool.poll(0.05)
    assert pool._server is not None
    pool._server.kill()
    told: list[tuple[int, int | None]] = []
    for _ in range(100):
        if told := pool.poll(0.1):
            break
    pool.close()
    assert told == [(0, -9)]


def test_a_timing_run_is_not_started_beside_somebody_elses(
    on_cuda: Study, store: RunStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(worker, "neighbours", lambda device: (4711,))
    monkeypatch.setattr(worker, "LEAVE_SECONDS", 0.0)
    spec = on_cuda.runs()[0]
    job = Job(spec.to_json(), str(store.root), None, "cuda:0", exclusive=True)
    assert worker.run_job(job, log=False) == outcomes.BLOCKED
    assert "cuda:0 is used by process 4711" in capsys.readouterr().err
    assert store.state(spec) == "partial", "nothing is held against the run"
    monkeypatch.setattr(worker, "neighbours", lambda device: ())
    assert worker.run_job(job, log=False) == outcomes.DONE


def test_a_missing_gpu_is_told_before_anything_starts(on_cuda: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "visible_gpus", list)
    with pytest.raises(InputError, match="this machine shows none"):
        find_devices(on_cuda.runs(), None)


def test_visible_devices_limit_what_is_used(on_cuda: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5,7")
    assert [device.name for device in find_devices(on_cuda.runs(), None)] == ["cuda:0", "cuda:1", "cuda:2"]
    assert len(find_devices(on_cuda.runs(), 2)) == 2
    assert all(device.packing is not None for device in find_devices(on_cuda.runs(), None, None))


def test_nvml_is_asked_through_the_visible_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = device(
        uuid="GPU-abc", UtilizationRates=types.SimpleNamespace(gpu=40, memory=0),
        MemoryInfo=types.SimpleNamespace(total=24 * 2**30, used=2**30),
        ComputeRunningProcesses=[types.SimpleNamespace(pid=4711, usedGpuMemory=2**30)],
    )  # fmt: skip
    nvml = FakeNvml(device(), busy)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,GPU-0")
    assert devices.visible_gpus() == ["cuda:0", "cuda:1"]
    seen = gpus.gpu_use("cuda:0")
    assert (seen.total_mib, seen.used_mib, seen.utilisation_percent) == (24 * 1024, 1024, 40.0)
    assert gpus.neighbours("cuda:0") == (4711,) and gpus.neighbours("cuda:1") == ()
    assert gpus.neighbours("cpu") == ()
    with pytest.raises(InputError, match="CUDA shows 2 GPUs here, no cuda:2"):
        gpus.gpu_use("cuda:2")


@pytest.mark.parametrize("lacking", ["ComputeRunningProcesses", "UtilizationRates"])
def test_who_is_on_a_device_is_never_guessed(lacking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(device(**{lacking: NVMLError(3)})))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(InputError, match="NVML refused"):
        gpus.neighbours("cuda:0")


def test_a_minute_of_iterations_becomes_the_seconds_of_a_run(mini: Study, store: RunStore) -> None:
    spec = mini.runs()[0]  # 15 epochs, batches of 16
    writer = store.writer(spec)
    writer.write_json("subset", {"ids": [f"slice-{number}" for number in range(320)]})
    events = [{"time": 100 + 0.5 * step, "kind": "iteration", "phase": "end"} for step in range(120)]
    writer.paths.events.write_text("".join(json.dumps(event) + "\n" for event in events))
    assert probe.extrapolate(writer.paths, spec) == pytest.approx(0.5 * 15 * 20 / 0.9)
    writer.paths.events.write_text("")
    assert "fewer than three iterations" in str(probe.extrapolate(writer.paths, spec))


def test_a_probe_of_runs_that_end_in_time_takes_their_seconds(mini: Study, tmp_path: Path) -> None:
    said: list[str] = []
    factors = probe.probe_study(mini, "core", "", str(tmp_path), said.append, seconds=20)
    factor, runs = factors["training", "tadtr/native"]
    assert 0 < factor < 1 and runs == 0
    planned = make_plan(mini, RunStore(tmp_path / "runs"), "core", probed=factors)
    assert {run.estimate.source for run in planned.runs} == {"a probe of this machine"}


def test_a_probe_needs_data(mini: Study) -> None:
    with pytest.raises(InputError, match="needs a data set"):
        probe.probe_study(mini, "core", "", None, print)
