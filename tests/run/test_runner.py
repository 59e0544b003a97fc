"""The local runner end to end: everything done, failures apart, signals obeyed, work shared."""

from __future__ import annotations

import errno
import importlib
import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tal_repro.errors import InputError
from tal_repro.machine.host import Disk
from tal_repro.run import failures, locks, runner, space
from tal_repro.run.outcomes import read_outcome
from tal_repro.run.plan import make_plan
from tal_repro.run.start import run_plan
from tal_repro.run.view import describe_run
from tal_repro.runs.store import RunStore
from tal_repro.study import Study, load_study
from tests.run.conftest import results_of, study_text

Tal = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., "subprocess.Popen[str]"]


def run_here(study: Study, store: RunStore, **options: Any) -> Any:
    return run_plan(make_plan(study, store, "core"), store, data_dir=None, jobs=2, say=lambda line: None, **options)


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_a_study_is_run_and_then_reused(mini: Study, store: RunStore) -> None:
    first = run_here(mini, store)
    assert first.exit_status == 0
    assert first.counts == {"done": 6}
    said: list[str] = []
    second = run_plan(make_plan(mini, store, "core"), store, data_dir=None, say=said.append)
    assert second.exit_status == 0
    assert said == [f"6 finished runs reused from {store.root}"]
    record = next(store.records())
    assert record.damaged() == []
    assert record.status["machine"]
    assert record.system["alone"] is False


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("memory", "out of memory (host)"),
        ("cuda-memory", "out of memory (device)"),
        ("nan", "loss is nan at epoch 3"),
        ("exit", "ended with status 1"),
    ],
)
def test_one_failed_run_stops_no_other(
    mini: Study, store: RunStore, stand_in: Callable[..., None], how: str, reason: str
) -> None:
    stand_in(misbehave={"1": how})
    summary = run_here(mini, store)
    assert summary.counts == {"done": 4, "failed": 2}
    assert summary.exit_status == 1
    assert all(reason in text for text in summary.reasons.values())
    failed = [spec for spec in mini.runs() if spec.seed == 1]
    assert all(reason in read_outcome(store, spec) for spec in failed)
    stand_in()
    assert run_here(mini, store).counts == {"done": 4, "failed": 2}, "a failed run is not run again by itself"
    assert run_here(mini, store, retry_failed=True).counts == {"done": 6}
    assert not list(store.leftovers())


def test_a_full_disk_leaves_runs_to_be_resumed(mini: Study, store: RunStore, stand_in: Callable[..., None]) -> None:
    stand_in(misbehave={"0": "disk"})
    summary = run_here(mini, store)
    assert summary.counts == {"done": 4, "disk full": 2}
    assert all(re.search(rf"{store.root}: \d+ MiB are free now, .*quota", text) for text in summary.reasons.values())
    stand_in()
    assert run_here(mini, store).counts == {"done": 6}


def test_nothing_starts_on_a_full_disk(mini: Study, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "disk", lambda path: Disk(0, 2**20, 2**33, -1))
    with pytest.raises(InputError, match="disk full: 1 MiB free, 64 MiB needed"):
        run_here(mini, store)
    assert not store.root.exists()


def test_a_disk_that_can_hold_no_more_files_is_told_as_such(
    mini: Study, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "disk", lambda path: Disk(0, 299 * 2**20, 2**33, 3))
    with pytest.raises(InputError, match=r"disk full: 3 files \(inodes\) can still be made there"):
        run_here(mini, store)
    assert space.describe_lack(store.root).startswith(f"{store.root}: 3 files (inodes)")


def test_a_folder_that_is_taken_away_under_a_run_is_a_reason(
    mini: Study, store: RunStore, stand_in: Callable[..., None]
) -> None:
    stand_in(misbehave={"1": "folder"})
    summary = run_here(mini, store)
    assert summary.counts == {"done": 4, "failed": 2}
    assert set(summary.reasons.values()) == {failures.NO_TRACE}


def test_a_file_in_place_of_a_folder_is_set_aside_before_the_start(mini: Study, store: RunStore) -> None:
    first, second, *_ = mini.runs()
    store.folder(first).parent.mkdir(parents=True)
    for path in (store.folder(first), store.failed(second)):
        path.write_text("x")
    said: list[str] = []
    assert run_plan(make_plan(mini, store, "core"), store, data_dir=None, say=said.append).counts == {"done": 6}
    assert [line.split()[2] for line in said] == [first.run_id, second.run_id]
    assert all(store.folder(spec).with_suffix(".damaged").read_text() == "x" for spec in (first, second))


def test_a_run_that_keeps_dying_is_left_for_later(mini: Study, store: RunStore, stand_in: Callable[..., None]) -> None:
    stand_in(misbehave={"2": "die"})
    summary = run_here(mini, store)
    assert summary.counts == {"done": 4, "killed": 2}
    assert summary.exit_status == 1
    stand_in()
    assert run_here(mini, store).counts == {"done": 6}


def test_a_hanging_run_is_stopped_and_named(
    mini: Study, store: RunStore, stand_in: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(misbehave={"0": "hang"})
    monkeypatch.setattr(runner, "GRACE_SECONDS", 0.5)
    plan = make_plan(mini, store, "core", "percent=10")
    summary = run_plan(plan, store, data_dir=None, jobs=2, machine={"hang_seconds": "1.5"}, say=lambda line: None)
    assert summary.counts == {"done": 2, "failed": 1}
    assert "no sign of life for 1.5 s" in next(iter(summary.reasons.values()))


def test_sigterm_checkpoints_within_ten_seconds_and_exits_143(
    start: Start, store: RunStore, stand_in: Callable[..., None], mini: Study
) -> None:
    stand_in(epochs=4, epoch_seconds=0.5)
    process = start("run", "--study", str(mini.path), "--results", str(store.root), "--jobs", "2")
    wait_until(lambda: len(list(store.root.glob("*/*/*.partial/checkpoint.pt"))) == 2)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 143
    assert time.monotonic() - began < 10
    assert len(list(store.root.glob("*/*/*.partial/checkpoint.pt"))) == 2
    stand_in(epochs=4)
    assert run_here(mini, store).counts == {"done": 6}
    reference = RunStore(store.root.parent / "undisturbed")
    run_here(mini, reference)
    assert results_of(store) == results_of(reference)


def test_sigint_finishes_the_epoch_and_a_second_one_stops_now(
    start: Start, store: RunStore, stand_in: Callable[..., None], mini: Study
) -> None:
    stand_in(epochs=3, epoch_seconds=1.0)
    process = start("run", "--study", str(mini.path), "--results", str(store.root), "--jobs", "1")
    wait_until(lambda: bool(list(store.root.glob("*/*/*.partial/heartbeat"))))
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    assert len(list(store.root.glob("*/*/*.partial/checkpoint.pt"))) == 1, "its epoch was finished"
    stand_in(epochs=3, epoch_seconds=30.0)
    process = start("run", "--study", str(mini.path), "--results", str(store.root), "--jobs", "1")
    wait_until(lambda: 'attempts": 2' in "".join(p.read_text() for p in store.root.glob("*/*/*.partial/status.json")))
    process.send_signal(signal.SIGINT)
    time.sleep(0.6)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130


def test_killing_the_runner_ends_its_workers(
    start: Start, store: RunStore, stand_in: Callable[..., None], mini: Study
) -> None:
    stand_in(epochs=1, epoch_seconds=60)
    process = start("run", "--study", str(mini.path), "--results", str(store.root), "--jobs", "2")
    wait_until(lambda: len(list(store.root.glob("*/*/*.partial/status.json"))) == 2)
    pids = [json.loads(path.read_text())["pid"] for path in store.root.glob("*/*/*.partial/status.json")]
    assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    process.kill()
    wait_until(lambda: not any(_alive(pid) for pid in pids), 5)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_miniature_of_chaos_ends_whole_and_bit_identical(tmp_path: Path, stand_in: Callable[..., None]) -> None:
    benchmark = importlib.import_module("runner")

    report = benchmark.chaos(tmp_path, kills=4, runs=6, seed=7)
    assert report["kills"] == 4
    assert report["whole"] == report["identical"] == report["runs"] == 6


def test_two_runners_share_the_work_and_no_run_is_done_twice(tmp_path: Path, stand_in: Callable[..., None]) -> None:
    benchmark = importlib.import_module("runner")

    report = benchmark.share(tmp_path, runners=3, runs=24)
    assert report["done"] == 24
    assert report["twice"] == 0
    assert report["exit_statuses"] == [0, 0, 0]


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda folder: (folder / "metrics.json").write_text("{}"), "metrics.json"),
        (lambda folder: (folder / "metrics.json").unlink(), "metrics.json"),
        (lambda folder: (folder / "status.json").write_text("{not json"), "status.json"),
        (lambda folder: (folder / "status.json").unlink(), "status.json"),
        (lambda folder: (folder / "spec.json").write_text("{}"), "spec.json"),
    ],
)
def test_a_damaged_run_is_named_set_aside_and_run_again(
    mini: Study, store: RunStore, spoil: Callable[[Path], Any], named: str
) -> None:
    run_here(mini, store)
    folder = next(store.records()).folder
    spoil(folder)
    said: list[str] = []
    summary = run_plan(make_plan(mini, store, "core"), store, data_dir=None, say=said.append)
    assert summary.counts == {"done": 6}
    assert named in said[0] and folder.name in said[0]
    assert folder.with_name(f"{folder.name}.damaged").is_dir()
    assert folder.is_dir()


def test_a_folder_of_another_format_is_refused_by_name(mini: Study, store: RunStore) -> None:
    run_here(mini, store)
    path = next(store.records()).paths.status
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 0}))
    with pytest.raises(InputError, match="run folder format '0', this kit reads 2"):
        run_here(mini, store)


def test_a_spoilt_partial_folder_does_not_stop_a_run(mini: Study, store: RunStore) -> None:
    spec = mini.runs()[0]
    writer = store.writer(spec)
    writer.paths.status.write_bytes(b"\0\0half")
    writer.paths.spec.write_bytes(b"")
    (writer.paths.folder / ".metrics.json.1.tmp").write_bytes(b"half")
    assert run_here(mini, store).counts == {"done": 6}
    assert not [path for path in store.folder(spec).iterdir() if path.name.startswith(".")]


def test_a_read_only_results_folder_is_refused(mini: Study, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(locks.os, "open", refuse)
    with pytest.raises(InputError, match="Read-only file system"):
        run_here(mini, store)


def test_a_results_folder_that_cannot_be_made_is_refused(mini: Study, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        run_here(mini, RunStore(tmp_path / "file" / "runs"))


def test_a_file_system_without_locks_is_refused(mini: Study, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(locks.fcntl, "lockf", refuse)
    with pytest.raises(InputError, match="has no locks"):
        run_here(mini, store)


def test_a_clock_jump_neither_hangs_nor_kills(mini: Study, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    jumps = iter(range(1_000_000))
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + (-1) ** next(jumps) * 1e8)
    plan = make_plan(mini, store, "core")
    summary = run_plan(plan, store, data_dir=None, jobs=2, machine={"hang_seconds": "5"}, say=lambda line: None)
    assert summary.counts == {"done": 6}


def test_a_failure_is_recorded_only_when_nobody_has_the_run(mini: Study, store: RunStore) -> None:
    spec = mini.runs()[0]
    assert failures.record(store, spec, "hung") == "hung"
    assert store.state(spec) == "failed"


def test_data_is_asked_for_before_anything_starts(
    mini: Study, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(mini, store, "core")
    monkeypatch.delenv("TAL_REPRO_STAND_IN")
    with pytest.raises(InputError, match="needs a data set"):
        run_plan(plan, store, data_dir=None, say=lambda line: None)
    assert not list(store.records()) and not list(store.leftovers())


def test_timing_experiments_have_the_device_alone(
    tmp_path: Path, store: RunStore, stand_in: Callable[..., None]
) -> None:
    stand_in(epochs=1, epoch_seconds=0.2)
    path = tmp_path / "timed.toml"
    extra = '[[experiments]]\nexperiment = "baseline"\nmodels = ["tridet"]\nseeds = [0, 1, 2]'
    path.write_text(study_text(extra=extra))
    summary = run_here(load_study(str(path)), store)
    assert summary.counts == {"done": 9}
    assert {r.spec.experiment: r.system["alone"] for r in store.records()} == {"baseline": True, "data_sweep": False}


def test_an_engine_that_cannot_be_imported_is_told(
    mini: Study, store: RunStore, monkeypatch: pytest.MonkeyPatch, stand_in: Callable[..., None]
) -> None:
    monkeypatch.setattr("tal_repro.run.start.warm_modules", lambda engine: ("no_such_module",))
    with pytest.raises(InputError, match="could not start"):
        run_here(mini, store)


def test_settings_of_the_study_are_part_of_the_command_that_repeats_a_run(mini: Study, store: RunStore) -> None:
    study = load_study(str(mini.path), {"repeats": "1"})
    run_here(study, store)
    folder = next(store.records()).folder
    repeat = describe_run(store, folder, 0)["repeat"]
    assert repeat.startswith(f"tal-repro run --study {mini.path} --scope every-percent --set repeats=1 --only id=")
