"""What the operating system counts of the whole machine: /proc with descriptors kept open, psutil where there is none.

Direct reading costs about 0.1 ms a sample, psutil ten times that; the sampling process stands between a trace's
interval and these counters.
"""

from __future__ import annotations

import os
from pathlib import Path

from tal_repro.machine.host import MIB
from tal_repro.measure.counters_psutil import system_counters_psutil
from tal_repro.measure.rates import Rates, Sample, Take

SECTOR_BYTES = 512  # of /proc/diskstats, whatever the disk
PAGE_BYTES = 4096
# block devices that hold no data of their own: counting them too would count a byte twice
LAYERED = ("loop", "ram", "zram", "dm-", "md")


class ProcFile:
    """A file of /proc, opened once and read from its start every time."""

    def __init__(self, path: str | Path) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = PAGE_BYTES  # grown to what the file needs: large buffers cost page faults at every read

    def read(self) -> bytes:
        while len(text := os.pread(self.descriptor, self.size, 0)) == self.size:
            self.size *= 2
        return text

    def close(self) -> None:
        os.close(self.descriptor)


def system_counters(proc: Path = Path("/proc"), blocks: Path = Path("/sys/block")) -> Take:
    """Return what takes one sample of CPU, memory, disk and network; a counter that is not there gives no column."""
    if not (proc / "stat").exists():
        return system_counters_psutil()
    readers: list[Take] = [_cores(proc / "stat"), _memory(proc / "meminfo")]
    for path, make in ((proc / "diskstats", lambda p: _disks(p, blocks)), (proc / "net" / "dev", _network)):
        if path.exists():
            readers.append(make(path))

    def take(now: float) -> Sample:
        sample: Sample = {}
        for read in readers:
            sample |= read(now)
        return sample

    return take


def _cores(path: Path) -> Take:
    """Read the CPU columns: use of each core since the last call; time stolen by a hypervisor counts as neither."""
    file = ProcFile(path)
    last: dict[bytes, tuple[int, int, int, int]] = {}

    def take(now: float) -> Sample:
        use: Sample = {}
        stolen = waiting = total = 0
        for line in file.read().split(b"\n"):
            if not line.startswith(b"cpu"):
                break
            name, *fields = line.split()
            if name == b"cpu":
                continue
            user, nice, system, idle, wait, irq, softirq, steal = (int(field) for field in fields[:8])
            busy = user + nice + system + irq + softirq
            counters = busy, idle + wait, steal, wait
            before = last.get(name, counters)
            last[name] = counters
            worked, rested, taken, waited = (new - old for new, old in zip(counters, before, strict=True))
            passed = worked + rested + taken
            # the kernel's idle counter may step back a tick
            use[f"cpu_{int(name[3:])}_percent"] = min(max(100 * worked / passed, 0.0), 100.0) if passed > 0 else 0.0
            stolen, waiting, total = stolen + taken, waiting + waited, total + passed
        cores = list(use.values())
        return {
            "cpu_mean_percent": sum(cores) / len(cores),
            "cpu_busiest_percent": max(cores),
            "cpu_iowait_percent": max(100 * waiting / total, 0.0) if total > 0 else 0.0,
            "cpu_steal_percent": 100 * stolen / total if total > 0 else 0.0,
            **use,
        }

    return take


def _memory(path: Path) -> Take:
    file = ProcFile(path)

    def take(now: float) -> Sample:
        text = file.read()
        total, available = _kib(text, b"MemTotal:"), _kib(text, b"MemAvailable:")
        return {
            "memory_used_mib": (total - available) / 1024,
            "memory_free_percent": 100 * available / total,
        }

    return take


def _kib(text: bytes, key: bytes) -> int:
    at = text.index(key) + len(key)
    return int(text[at : text.index(b"kB", at)])


def _disks(path: Path, blocks: Path) -> Take:
    """Read the traffic of the machine's disks, without partitions and layered devices."""
    file, rates = ProcFile(path), Rates()
    names = [path.name for path in blocks.iterdir()] if blocks.exists() else []
    disks = {name.encode() for name in names if not name.startswith(LAYERED)}

    def take(now: float) -> Sample:
        read = written = 0
        for line in file.read().split(b"\n"):
            fields = line.split(None, 10)
            if len(fields) > 10 and fields[2] in disks:
                read, written = read + int(fields[5]), written + int(fields[9])
        scale = SECTOR_BYTES / MIB
        return {
            "disk_read_mib_s": rates.per_second("read", now, read * scale),
            "disk_write_mib_s": rates.per_second("write", now, written * scale),
        }

    return take


def _network(path: Path) -> Take:
    """Read the traffic of all interfaces but the loopback, which never leaves the machine."""
    file, rates = ProcFile(path), Rates()

    def take(now: float) -> Sample:
        received = sent = 0
        for line in file.read().split(b"\n")[2:]:
            name, colon, rest = line.partition(b":")
            if colon and name.strip() != b"lo":
                fields = rest.split(None, 9)
                received, sent = received + int(fields[0]), sent + int(fields[8])
        return {
            "net_received_mib_s": rates.per_second("received", now, received / MIB),
            "net_sent_mib_s": rates.per_second("sent", now, sent / MIB),
        }

    return take
