"""The sampling process: its ticks on a fake clock, its file after a kill, its bounds, and the words for bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tal_repro.errors import InputError
from tal_repro.measure.sampler import Ticks, write_samples
from tal_repro.measure.trace import Sampler, idle_baseline, read_trace, summarise


class FakeClock:
    """A clock that moves only when slept on, or when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_ticks_do_not_drift_and_late_ones_are_counted() -> None:
    clock = FakeClock()
    ticks = Ticks(0.5, clock, clock.sleep)
    times = []
    for now in ticks.until(lambda: len(times) == 8):
        times.append(now - ticks.start)
        clock.now += 0.01  # what a sample costs
        if len(times) == 3:
            clock.now += 1.69  # a stall: the ticks at 2.0, 2.5 and 3.0 pass; the last of them is taken, late
    assert times == pytest.approx([0.5, 1.0, 1.5, 3.2, 3.5, 4.0, 4.5, 5.0])
    assert (ticks.taken, ticks.missed) == (8, 2)


def test_a_day_of_samples_keeps_nothing_in_memory(tmp_path: Path) -> None:
    clock = FakeClock()
    ticks = Ticks(0.5, clock, clock.sleep)
    day = 2 * 24 * 3600
    half: list[int] = []

    def stopped() -> bool:
        if ticks.taken == day // 2 and not half:
            half.append(sys.getallocatedblocks())
        return ticks.taken == day

    path = tmp_path / "day.csv"
    with path.open("w") as stream:
        write_samples(stream, ticks, lambda now: {"a": now, "b": 2.0}, stopped)
    assert sys.getallocatedblocks() - half[0] < 200  # objects, over twelve hours
    assert ticks.missed == 0
    lines = path.read_text().splitlines()
    assert len(lines) == day + 1
    assert lines[-1].split(",")[1] == str(day // 2)  # 24 h after the start, to the tick


def wait_for_lines(path: Path, count: int) -> None:
    """Wait until a trace has that many lines; a machine that others use may take its time."""
    deadline = time.monotonic() + 60
    while not path.exists() or len(path.read_text().splitlines()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_trace_is_readable_after_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    arguments = json.dumps({"out": str(path), "interval_s": 0.05, "watched_pid": os.getpid()})
    command = [sys.executable, "-m", "tal_repro.measure.sampler", arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    wait_for_lines(path, 6)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(read_trace(path)) >= 5
    whole = path.read_text()
    path.write_text(whole + whole.splitlines()[-1][:-3])  # killed in the middle of a line
    assert len(read_trace(path)) == len(whole.splitlines()) - 1


@pytest.mark.parametrize("name", ["json.py", "select.py", "tal_repro.py"])
def test_files_of_the_folder_where_somebody_works_are_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).write_text("raise SystemExit('not the one that was meant')\n")
    monkeypatch.chdir(tmp_path)
    with Sampler(tmp_path / "trace.csv", 0.05) as sampler:
        wait_for_lines(tmp_path / "trace.csv", 2)
    assert sampler.summary["samples"] >= 1


def test_a_sampler_that_is_killed_leaves_its_trace_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    with Sampler(path, 0.05) as sampler:
        wait_for_lines(path, 4)
        assert sampler._process is not None
        sampler._process.kill()
        sampler._process.wait()
    assert len(read_trace(path)) >= 3
    assert "was killed" in sampler.summary["error"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="fills no disk of ours: needs /dev/full")
def test_a_full_disk_ends_the_trace_and_not_the_run(tmp_path: Path) -> None:
    (tmp_path / "trace.csv").symlink_to("/dev/full")
    with Sampler(tmp_path / "trace.csv", 0.05) as sampler:
        assert sampler._process is not None
        sampler._process.wait(timeout=60)
    assert sampler.summary["error"] == "cannot be written (No space left on device), after 1 samples"


def test_a_sampler_that_never_starts_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = tmp_path / "python"
    hangs.write_text("#!/bin/sh\nexec sleep 600\n")
    hangs.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(hangs))
    monkeypatch.setattr("tal_repro.measure.trace.START_SECONDS", 0.2)
    with pytest.raises(InputError, match=r"no sign of life in 0.2 s[^@]*nvidia-smi"), Sampler(tmp_path / "x.csv", 0.1):
        pass


def test_the_sampler_ends_with_its_parent(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    script = (
        "import sys, os; from pathlib import Path; from tal_repro.measure.trace import Sampler\n"
        "s = Sampler(Path(sys.argv[1]), 0.05); s.__enter__(); print(s._process.pid, flush=True); os._exit(1)"
    )
    output = subprocess.run([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True, check=False)
    pid = int(output.stdout)
    for _ in range(600):
        if not Path(f"/proc/{pid}/stat").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text():
            return
        time.sleep(0.05)
    pytest.fail("it still samples")


def test_samples_cost_and_phases_of_a_real_trace(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    start = time.time()
    with Sampler(path, 0.05, watched_pid=os.getpid()) as sampler:
        time.sleep(0.6)
    end = time.time()
    trace = read_trace(path)
    summary = sampler.summary
    assert summary["samples"] == len(trace)
    assert summary["samples"] + summary["missed"] == pytest.approx(summary["seconds"] / 0.05, abs=2)
    assert summary["own_cpu_percent_of_one_core"] < 15  # of samples ten times as often as usual; measured by benchmarks
    assert start < trace["unix_time"].min() <= trace["unix_time"].max() < end
    assert trace.filter(regex=r"^cpu_").stack().between(0, 100).all()
    found = summarise(path)
    assert found["memory_free_percent"]["min"] <= found["memory_free_percent"]["mean"] <= 100
    assert "time_s" not in found


def test_disk_writes_are_seen(tmp_path: Path) -> None:
    before = disk_mib_written()
    if before is None:
        pytest.skip("no disk of its own under this folder: set TMPDIR to a folder on a disk")
    path = tmp_path / "trace.csv"
    with Sampler(path, 0.1):
        within = disk_mib_written()
        with (tmp_path / "data").open("wb") as stream:
            for _ in range(24):
                stream.write(os.urandom(2**20))
            os.fsync(stream.fileno())
        least = disk_mib_written() - within  # what others write before and after is in no bound of ours
        wait_for_lines(path, (len(path.read_text().splitlines()) if path.exists() else 1) + 2)
    most = disk_mib_written() - before
    trace = read_trace(path)
    steps = trace["time_s"].diff().fillna(trace["time_s"])
    seen = float((trace["disk_write_mib_s"] * steps).sum())
    assert least >= 24
    assert 0.95 * least <= seen <= 1.05 * most


def disk_mib_written() -> float | None:
    """The kernel's count for the disks themselves, read here on its own."""
    total, found = 0, False
    for stat in Path("/sys/block").glob("[!ldrzm]*/stat") if Path("/sys/block").exists() else ():
        total, found = total + int(stat.read_text().split()[6]), True
    return total * 512 / 2**20 if found else None


def test_idle_baseline_has_its_columns() -> None:
    found = idle_baseline(0.4)
    assert found["seconds"] == 0.4
    assert 0 <= found["columns"]["cpu_mean_percent"]["mean"] <= 100


def test_bad_intervals_and_places(tmp_path: Path) -> None:
    for interval in (0.0, -1.0, 0.01, float("nan"), 4000.0):
        with pytest.raises(InputError, match="sampling interval"):
            Sampler(tmp_path / "x.csv", interval)
    for seconds in (0.0, -1.0, float("inf")):
        with pytest.raises(InputError, match="idle baseline"):
            idle_baseline(seconds)
    with pytest.raises(InputError, match="ended with code"), Sampler(tmp_path / "no" / "x.csv", 0.1):
        pass
    with pytest.raises(InputError, match="not readable"):
        read_trace(tmp_path)
    (tmp_path / "empty.csv").write_text("unix_time,time_s\n")
    with pytest.raises(InputError, match="no whole sample"):
        read_trace(tmp_path / "empty.csv")
