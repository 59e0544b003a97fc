"""A command line in a forked process whose disk or clock fails: between `inject.c` and the cases.

The program that forks has the injector preloaded and the kit imported, so that a case takes what the command takes.
"""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("inject.c")
LIBRARY_VARIABLE = "TAL_REPRO_INJECTOR"
FOR_EVER = 10**9
TRACEBACK = 70  # the status of a command that left with an exception

MAKE, OPEN, READ, WRITE, SYNC, NAME, STAT, LIST = (1 << bit for bit in range(8))  # as in inject.c
# which calls can fail with an error, and whether it stays (a full disk) or passes (one bad sector)
KINDS = {
    errno.ENOSPC: (MAKE | WRITE | SYNC, True),
    errno.EDQUOT: (MAKE | WRITE | SYNC, True),
    errno.EROFS: (MAKE | NAME, True),
    errno.EACCES: (OPEN | NAME | LIST | STAT, True),
    errno.EMFILE: (OPEN | LIST, False),
    errno.ENAMETOOLONG: (OPEN | NAME | STAT, False),
    errno.ELOOP: (OPEN | NAME | STAT, False),
    errno.EIO: (OPEN | READ | WRITE | SYNC | NAME | STAT | LIST, False),
}


def build(folder: Path) -> Path:
    """Compile the injector; raises CalledProcessError or FileNotFoundError without a C compiler."""
    library = folder / "inject.so"
    command = ["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return library


def preloaded(words: Sequence[str]) -> None:
    """Start this program again with the injector preloaded, unless it is."""
    if LIBRARY_VARIABLE in os.environ:
        return
    with tempfile.TemporaryDirectory(prefix="tal-repro-faults-") as folder:
        library = str(build(Path(folder)))
        environment = {**os.environ, LIBRARY_VARIABLE: library, "LD_PRELOAD": library}
        sys.exit(subprocess.run([sys.executable, *words], env=environment, check=False).returncode)


@dataclass(frozen=True)
class Fault:
    """What fails from the `first` call on that can (0: nothing does).

    The calls are those below `folder` that can end with error `number`; or, where `jump_s` is not 0, the readings of
    the wall clock, which is then off by so many seconds.
    """

    number: int
    first: int
    folder: Path
    jump_s: int = 0

    @property
    def kinds(self) -> int:
        return 0 if self.jump_s else KINDS[self.number][0]

    @property
    def many(self) -> int:
        return FOR_EVER if self.jump_s or KINDS[self.number][1] else 1

    def text(self) -> str:
        if self.jump_s:
            return f"clock {self.jump_s:+d} s at reading {self.first}"
        return f"{errno.errorcode[self.number]} at call {self.first}"


@dataclass(frozen=True)
class Ending:
    """How a command left, what it printed, and how many calls of its own process could have met the fault."""

    status: int
    printed: str
    calls: int


def call(words: Sequence[str], fault: Fault, environment: Mapping[str, str], folder: Path) -> Ending:
    """Run a command line in a forked process under a fault; what it prints lies in `folder` meanwhile."""
    printed, counted = folder / "printed.txt", folder / "calls.txt"
    counted.unlink(missing_ok=True)
    child = os.fork()
    if not child:
        os._exit(_in_child(list(words), fault, environment, printed, counted))
    _, status = os.waitpid(child, 0)
    calls = int(counted.read_text()) if counted.exists() else 0
    return Ending(os.waitstatus_to_exitcode(status), printed.read_text(errors="replace"), calls)


def _in_child(words: list[str], fault: Fault, environment: Mapping[str, str], printed: Path, counted: Path) -> int:
    injector = ctypes.CDLL(os.environ[LIBRARY_VARIABLE])
    with printed.open("wb") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    settings = (fault.number, fault.kinds, 0 if fault.jump_s else fault.first, fault.many)
    clock = (fault.first if fault.jump_s else 0, fault.jump_s)
    os.environ.update(environment)
    os.environ["TAL_FAULTS"] = " ".join(map(str, (*settings, fault.folder)))  # of the workers it starts
    os.environ["TAL_CLOCK"] = " ".join(map(str, clock))
    sys.argv = ["tal-repro", *words]
    from tal_repro.cli import main

    injector.fault_set(*settings[:2], *map(ctypes.c_long, settings[2:]), os.fsencode(fault.folder))
    injector.clock_set(*map(ctypes.c_long, clock))
    status = 0
    try:
        main()
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:  # what a user would see as a traceback
        traceback.print_exc()
        status = TRACEBACK
    calls = injector.clock_seen() if fault.jump_s else injector.fault_seen()
    injector.fault_set(0, 0, 0, 0, b"")
    injector.clock_set(0, 0)
    sys.stdout.flush()
    sys.stderr.flush()
    counted.write_text(str(calls))
    return status
