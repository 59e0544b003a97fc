"""Counters against made-up files whose numbers are known, and against the accounting of processes with a known load."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tal_repro.measure.counters import system_counters
from tal_repro.measure.counters_psutil import family_counters_psutil, system_counters_psutil
from tal_repro.measure.family import family_counters
from tal_repro.measure.rates import Rates, Take

ZEROS = "0 0 0 0 0 0 0 0 0 0"


def write_proc(root: Path, cpus: list[str], available_kib: int, sectors: tuple[int, int], net: tuple[int, int]) -> None:
    (root / "net").mkdir(parents=True, exist_ok=True)
    lines = [f"cpu {ZEROS}", *(f"cpu{i} {fields}" for i, fields in enumerate(cpus)), "intr 1 2 3", ""]
    (root / "stat").write_text("\n".join(lines))
    (root / "meminfo").write_text(f"MemTotal:  8192000 kB\nMemFree: 1 kB\nMemAvailable:  {available_kib} kB\n")
    disk = "   {} {} 9 9 {} 9 9 9 {} 9 0 9 9\n"
    rows = [(f"254 {i}", name) for i, name in enumerate(("vda", "vda1", "dm-0", "loop0"))]
    (root / "diskstats").write_text("".join(disk.format(i, name, *sectors) for i, name in rows))
    row = "{}: {} 1 0 0 0 0 0 0 {} 1 0 0 0 0 0 0\n"
    header = "Inter-|   Receive\n face |bytes\n"
    (root / "net" / "dev").write_text(header + row.format("    lo", 10**9, 10**9) + row.format("  eth0", *net))


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[tuple[Path, Take]]:
    blocks = tmp_path / "block"
    for name in ("vda", "dm-0", "loop0"):
        (blocks / name).mkdir(parents=True)
    root = tmp_path / "proc"
    write_proc(root, [ZEROS, ZEROS], 8192000, (0, 0), (0, 0))
    yield root, system_counters(root, blocks)


def test_rates_over_a_known_interval(fake: tuple[Path, Take]) -> None:
    root, take = fake
    assert set(take(10.0).values()) == {0.0, 100.0}  # nothing has passed yet, all memory is free
    # user nice system idle iowait irq softirq steal: core 0 half busy, core 1 a tenth busy and four tenths stolen
    write_proc(root, ["40 0 10 50 0 0 0 0 0 0", "5 1 2 30 20 1 1 40 0 0"], 6144000, (2048, 4096), (2**20, 2**22))
    sample = take(12.0)
    assert sample["cpu_0_percent"] == 50
    assert sample["cpu_1_percent"] == 10
    assert sample["cpu_mean_percent"] == 30
    assert sample["cpu_busiest_percent"] == 50
    assert sample["cpu_steal_percent"] == 20
    assert sample["cpu_iowait_percent"] == 10
    assert sample["memory_used_mib"] == 2000
    assert sample["memory_free_percent"] == 75
    # one disk, not its partition nor what is layered on it; no loopback
    assert (sample["disk_read_mib_s"], sample["disk_write_mib_s"]) == (0.5, 1.0)
    assert (sample["net_received_mib_s"], sample["net_sent_mib_s"]) == (0.5, 2.0)


def test_a_core_that_goes_offline_leaves_its_column_out(fake: tuple[Path, Take]) -> None:
    root, take = fake
    take(0.0)
    write_proc(root, ["100 0 0 0 0 0 0 0 0 0"], 8192000, (0, 0), (0, 0))
    assert "cpu_1_percent" not in take(1.0)


def test_files_longer_than_a_page_are_read_whole(fake: tuple[Path, Take]) -> None:
    root, take = fake
    write_proc(root, [ZEROS] * 500, 8192000, (0, 0), (0, 0))
    assert len([name for name in take(0.0) if name.startswith("cpu_") and name[4].isdigit()]) == 500


def test_a_first_reading_has_no_rate() -> None:
    rates = Rates()
    assert rates.per_second("x", 5.0, 100.0) == 0.0
    assert rates.per_second("x", 7.0, 110.0) == 5.0
    assert rates.per_second("x", 7.0, 110.0) == 0.0


LOAD = """
import os, sys, threading, time
def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end: pass
kind = sys.argv[1]
print("waits", flush=True)
sys.stdin.readline()
if kind == "memory":
    hog = bytearray(200 * 2**20)
    hog[::4096] = b"x" * len(hog[::4096])
if kind == "orphan" and not os.fork():
    if os.fork():  # the parent of what spins ends when it is told to
        sys.stdin.readline()
        os._exit(0)
    kind = "busy"
spins = kind == "busy" or (kind == "fork" and not os.fork())
os.write(1, b"works\\n")  # one write: two processes say it
spin(120) if spins else time.sleep(120)
"""
PATIENCE_S = 60.0  # until a load has had its share of a machine that others use


class Child:
    """A process with a known load, started on request."""

    def __init__(self, kind: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", LOAD, kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.pid = self.process.pid
        self._expect(b"waits\n")

    def start(self) -> None:
        """Let it have its load, and return when it has."""
        self.tell()
        self._expect(b"works\n")

    def tell(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def _expect(self, word: bytes) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == word

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            os.killpg(self.pid, 9)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


@pytest.fixture
def child() -> Iterator[type[Child]]:
    made: list[Child] = []

    class Kept(Child):
        def __init__(self, kind: str) -> None:
            super().__init__(kind)
            made.append(self)

    yield Kept
    for one in made:
        one.end()


def cpu_seconds(pid: int) -> float:
    """What the kernel accounts to a process, to the nanosecond."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


linux = pytest.mark.skipif(sys.platform != "linux", reason="compares with /proc: run it on Linux")


@linux
def test_a_busy_loop_is_seen_as_the_kernel_accounts_it(child: type[Child]) -> None:
    """What was seen lies between what the kernel accounts within and around the samples, however busy the machine."""
    busy = child("busy")
    take = family_counters(busy.pid)
    busy.start()
    around = cpu_seconds(busy.pid)
    last = time.monotonic()
    take(last)
    within = cpu_seconds(busy.pid)
    thread = total = 0.0
    deadline = last + PATIENCE_S
    while (least := cpu_seconds(busy.pid) - within) < 0.6:
        assert time.monotonic() < deadline
        time.sleep(0.2)
        least = cpu_seconds(busy.pid) - within
        now = time.monotonic()
        sample = take(now)
        thread += sample["thread_busiest_percent"] / 100 * (now - last)
        total += sample["process_cpu_percent"] / 100 * (now - last)
        last = now
        most = cpu_seconds(busy.pid) - around
    assert 0.95 * least <= thread <= 1.05 * most
    assert 0.95 * least - 0.03 <= total <= 1.05 * most + 0.03  # counted in ticks of 10 ms


@linux
def test_a_sleeper_uses_nothing_and_a_hog_its_memory(child: type[Child]) -> None:
    sleeper, hog = child("sleep"), child("memory")
    takes = [family_counters(sleeper.pid), family_counters(hog.pid)]
    before = [take(time.monotonic()) for take in takes]
    sleeper.start()
    hog.start()
    after = [take(time.monotonic()) for take in takes]
    assert after[1]["process_memory_mib"] - before[1]["process_memory_mib"] == pytest.approx(200, rel=0.05)
    time.sleep(0.2)
    assert takes[0](time.monotonic())["thread_busiest_percent"] < 5


@linux
def test_a_forked_child_belongs_to_the_family(child: type[Child]) -> None:
    parent = child("fork")
    take = family_counters(parent.pid)
    last = time.monotonic()
    take(last)
    parent.start()
    deadline = last + PATIENCE_S
    thread = total = 0.0
    while min(thread, total) < 0.2:  # CPU seconds; the parent itself sleeps
        assert time.monotonic() < deadline, (thread, total)
        time.sleep(0.1)
        now = time.monotonic()
        sample = take(now)
        thread += sample["thread_busiest_percent"] / 100 * (now - last)
        total += sample["process_cpu_percent"] / 100 * (now - last)
        last = now


@linux
def test_who_outlives_its_parent_stays_in_the_family(child: type[Child]) -> None:
    grandparent = child("orphan")
    take = family_counters(grandparent.pid)
    take(time.monotonic())
    grandparent.start()
    deadline = time.monotonic() + PATIENCE_S
    seen = 0.0
    while seen < 20:  # percent of a core: what spins has been met
        assert time.monotonic() < deadline
        time.sleep(0.1)
        seen = take(time.monotonic())["thread_busiest_percent"]
    (parent,) = Path(f"/proc/{grandparent.pid}/task/{grandparent.pid}/children").read_text().split()
    grandparent.tell()
    while " Z " not in Path(f"/proc/{parent}/stat").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    last = time.monotonic()
    take(last)
    thread = 0.0
    while thread < 0.2:  # CPU seconds
        assert time.monotonic() < deadline
        time.sleep(0.1)
        now = time.monotonic()
        thread += take(now)["thread_busiest_percent"] / 100 * (now - last)
        last = now


def test_a_family_that_is_gone_has_no_values(child: type[Child]) -> None:
    gone = child("sleep")
    take = family_counters(gone.pid)
    assert take(time.monotonic())
    gone.process.kill()
    gone.process.wait()
    assert take(time.monotonic()) == {}


@linux
def test_psutil_sees_the_same(child: type[Child]) -> None:
    hog = child("memory")
    hog.start()
    direct, psutil = family_counters(hog.pid), family_counters_psutil(hog.pid, os.getpid())
    first, second = direct(1.0), psutil(1.0)
    assert set(first) == set(second)
    assert first["process_memory_mib"] == pytest.approx(second["process_memory_mib"], rel=0.01)
    read = system_counters()
    before, theirs, after = read(1.0), system_counters_psutil()(1.0), read(2.0)
    assert set(theirs) <= set(before)
    low, high = sorted((before["memory_used_mib"], after["memory_used_mib"]))  # others come and go
    assert 0.95 * low <= theirs["memory_used_mib"] <= 1.05 * high


@linux
def test_descriptors_of_ended_threads_are_closed() -> None:
    import threading

    take = family_counters(os.getpid(), own_pid=-1)
    take(0.0)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(20):
        over = threading.Event()
        thread = threading.Thread(target=over.wait)
        thread.start()
        take(float(number))
        over.set()
        thread.join()
    for _ in range(100):  # a joined thread may still be leaving the kernel
        take(100.0)
        left = len(list(Path("/proc/self/fd").iterdir()))
        if left == before:
            break
        time.sleep(0.02)
    assert left == before
