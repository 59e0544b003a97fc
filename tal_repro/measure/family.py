"""What one process and its descendants use: the load of the busiest single thread, CPU in all, resident memory.

The busiest thread is what limits a training whose Python work is serial, however many cores stand idle (claim H2).
"""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path

from tal_repro.machine.host import MIB
from tal_repro.measure.counters import ProcFile
from tal_repro.measure.rates import Sample, Take

NANOSECONDS = 1e9
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PAGE_MIB = (os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096) / MIB


def family_counters(pid: int, own_pid: int | None = None, descendants_only: bool = False) -> Take:
    """Return what takes one sample of process `pid` and its descendants, this process left out.

    `descendants_only` leaves out `pid` itself. A family that is not there gives no value (an empty cell), not zero.
    """
    own_pid = os.getpid() if own_pid is None else own_pid
    if not Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").exists():
        from tal_repro.measure.counters_psutil import family_counters_psutil

        return family_counters_psutil(pid, own_pid, descendants_only)
    _allow_many_files()
    return Family(pid, own_pid, descendants_only).take


class Thread:
    """The CPU time of one thread (ns where the kernel tells it, else clock ticks) and the children it forked."""

    def __init__(self, folder: str, born_after: float | None) -> None:
        try:
            self.times, self.in_nanoseconds = ProcFile(f"{folder}/schedstat"), True
        except FileNotFoundError:
            self.times, self.in_nanoseconds = ProcFile(f"{folder}/stat"), False
        self.children_file = ProcFile(f"{folder}/children")
        self.last = None if born_after is None else (born_after, 0.0)

    def load(self, now: float) -> float:
        """Return the share of one core used since the last call."""
        text = self.times.read()
        seconds = (
            int(text.split(None, 1)[0]) / NANOSECONDS if self.in_nanoseconds else sum(_cpu_ticks(text)[:2]) / _TICKS
        )
        before, self.last = self.last, (now, seconds)
        return 0.0 if before is None or now <= before[0] else (seconds - before[1]) / (now - before[0])

    def children(self) -> list[int]:
        return [int(word) for word in self.children_file.read().split()]

    def close(self) -> None:
        self.times.close()
        self.children_file.close()


class Member:
    """One process of the family."""

    def __init__(self, pid: int) -> None:
        self.folder = f"/proc/{pid}/task"
        self.stat, self.statm = ProcFile(f"/proc/{pid}/stat"), ProcFile(f"/proc/{pid}/statm")
        self.threads: dict[str, Thread] = {}

    def look(self, now: float, last: float | None) -> tuple[float, float, float, list[int]]:
        """Return (busiest thread's load, CPU seconds so far, resident MiB, children's ids); OSError when gone.

        A thread that was not there at the `last` look (None: there was none) was born since.
        """
        self._follow_threads(os.listdir(self.folder), last)  # noqa: PTH208 (names alone, at a tenth of the cost)
        busiest, children = 0.0, []
        for thread in self.threads.values():
            with contextlib.suppress(OSError):  # it ended since the listing
                busiest = max(busiest, thread.load(now))
                children += thread.children()
        # with the ended children it waited for, so that what a short-lived process used is never lost
        seconds = sum(_cpu_ticks(self.stat.read())) / _TICKS
        return busiest, seconds, int(self.statm.read().split()[1]) * _PAGE_MIB, children

    def _follow_threads(self, present: list[str], last: float | None) -> None:
        for name in self.threads.keys() - set(present):
            self.threads.pop(name).close()
        for name in present:
            if name not in self.threads:
                with contextlib.suppress(OSError):
                    self.threads[name] = Thread(f"{self.folder}/{name}", last)

    def close(self) -> None:
        self.stat.close()
        self.statm.close()
        for thread in self.threads.values():
            thread.close()


class Family:
    """Follow a process and its descendants as they come and go, also those that outlive their parent."""

    def __init__(self, pid: int, own_pid: int, descendants_only: bool = False) -> None:
        self.pid, self.own_pid = pid, own_pid
        self.uncounted = {pid} if descendants_only else set()
        self.members: dict[int, Member] = {}
        self.last: tuple[float, float] | None = None

    def take(self, now: float) -> Sample:
        busiest = seconds = resident = 0.0
        # with those known from before: one whose parent ended is init's child now, and still of the family. Their files
        # are held open, so that no other process can take the place of one that ended
        waiting, seen = [*self.members, self.pid], set[int]()
        last = self.last[0] if self.last else None
        while waiting:
            pid = waiting.pop()
            if pid == self.own_pid or pid in seen:
                continue
            try:
                member = self.members.get(pid) or self.members.setdefault(pid, Member(pid))
                load, used, memory, children = member.look(now, last)
            except OSError:
                continue
            seen.add(pid)
            waiting += children
            if pid not in self.uncounted:
                busiest, seconds, resident = max(busiest, load), seconds + used, resident + memory
        for gone in self.members.keys() - seen:
            self.members.pop(gone).close()
        before, self.last = self.last, (now, seconds)
        if not seen - self.uncounted:
            return {}
        rate = 0.0 if before is None or now <= before[0] else max(seconds - before[1], 0.0) / (now - before[0])
        return {
            "thread_busiest_percent": 100 * busiest,
            "process_cpu_percent": 100 * rate,
            "process_memory_mib": resident,
        }


def _cpu_ticks(stat: bytes) -> list[int]:
    """Return user and system time, own and of waited-for children; the name before them may hold anything."""
    return [int(field) for field in stat[stat.rindex(b")") + 2 :].split(None, 15)[11:15]]


def _allow_many_files() -> None:
    """Two descriptors a thread: raise the soft limit to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
