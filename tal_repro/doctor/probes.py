"""How the doctor looks at a machine. Checks get this and nothing else, so that tests hand them another machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tal_repro.machine.gpus import Gpus
from tal_repro.machine.host import Answer, Disk

if TYPE_CHECKING:
    from tal_repro.engines.upstream.checkout import Status


@dataclass(frozen=True)
class Torch:
    """What torch itself says in a process of its own."""

    version: str
    available: bool
    architectures: tuple[str, ...]  # sm_80, ..., compute_90
    problem: str = ""


@dataclass(frozen=True)
class Clock:
    """Seconds since 1970: now, and when the newest file that is at hand was written."""

    now: float
    newest_file: float
    synchronised: bool | None  # None where nobody can tell


@dataclass(frozen=True)
class Probes:
    """Every way of looking. All of them look only; none raises."""

    environment: Mapping[str, str]
    which: Callable[[str], str | None]
    run: Callable[[Sequence[str]], Answer]
    gpus: Callable[[], Gpus]
    torch: Callable[[], Torch | None]  # None where it is not installed
    disk: Callable[[Path], Disk]
    disk_file: Callable[[Path], bool]  # whether a file is there
    shared_memory: Callable[[], int]  # bytes free in /dev/shm, -1 where there is none
    obstacle: Callable[[Path], str]  # why a folder cannot be written and locked, "" where it can
    memory: Callable[[], tuple[int, int]]  # bytes: total, available
    cores: Callable[[], int]
    installed: Callable[[], Mapping[str, str]]  # normalised name -> version
    layers: Callable[[], frozenset[str]]  # what `make setup` put into this environment: light, full, torch-cuda, ...
    clock: Callable[[], Clock]
    checkout: Callable[[str], Status]
    copy_files: Callable[[str], Mapping[str, str]]  # state of each file the patches touch in the patched copy
