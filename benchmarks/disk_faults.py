"""A disk that fails and a clock that jumps, under every command that writes or reads.

    python -m benchmarks.disk_faults [--faults 200] [--seconds 1200] [--seed 0] [--commands NAME ...] [--out FILE.json]

An injector (`faults/inject.c`, built here by the C compiler) fails the calls below one folder (full, read-only,
forbidden, out of handles, bad sectors), or sets the wall clock a day or ten years off: each command meets each fault at
random calls. After each: the exit status, no traceback, an error that names what failed; nothing that looks finished is
half written; and the same command without a fault ends as if nothing had been. Exits 1 where anything was not as it
should be. Synthetic data and miniature models.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks import skeleton
from benchmarks.faults.forked import KINDS, Ending, Fault, call, preloaded
from benchmarks.kills import commands as three_ways_in
from benchmarks.runner import _results as results_of
from benchmarks.runner import workplace
from tal_repro.data.verify import verify
from tal_repro.errors import InputError
from tal_repro.run.archive import import_runs
from tal_repro.runs.record import open_checked
from tal_repro.runs.store import RunStore

Content = dict[str, bytes]
JUMPS_S = (-86_400, 86_400, 10 * 365 * 86_400)  # of the clock: a day back, a day and ten years on
LEAVES = (0, 1, 2, 74, 75)  # 74: the disk is full or failed; 75: stopped, to be resumed
PASSED_ON = ".tmp"  # the ending of a file that is being written


@dataclass(frozen=True)
class Case:
    """A command line, whose `{out}` is a new folder each time, the folder that fails, and what it leaves when done."""

    name: str
    words: list[str]
    again: list[str] = field(default_factory=list)  # the words with which its user goes on, where they are others
    fails: str = "{out}"
    environment: dict[str, str] = field(default_factory=dict)
    left: Callable[[Path], Content] = lambda out: {}
    whole: Callable[[Path], str] = lambda out: ""  # what is half written, or nothing

    def line(self, out: Path) -> list[str]:
        return [word.replace("{out}", str(out)) for word in self.words]

    def next_line(self, out: Path, status: int) -> list[str]:
        """Return the command that follows one which left with `status`; made data sets are never replaced."""
        again = self.again if status and out.exists() else []
        return [word.replace("{out}", str(out)) for word in again or self.words]

    def folder(self, out: Path) -> Path:
        return Path(os.path.normpath(self.fails.replace("{out}", str(out))))


def cases(folder: Path) -> list[Case]:
    """Return every command, with inputs made below `folder`."""
    run, train, released = three_ways_in(folder)
    data, runs = str(folder / "data"), str(folder / "calm")
    ways = {"left": results_of, "whole": _half_runs}
    train_out, out = [*train.words, "--out", "{out}"], ["--out", "{out}"]
    run_out = ["run", "--jobs", "1", *run.words[3:], "--results", "{out}"]
    archive, size = str(folder / "runs.tar.gz"), ["--videos", "4", "--test", "3", "--feature-dim", "8"]
    export = ["results", "export", "{out}.tar.gz", "--results", runs]
    nothing = Fault(errno.EIO, 0, folder)
    for words, environment in (
        (["run", *run.words[1:], "--results", runs], run.environment),
        ([*train.words, "--out", runs], {}),
        (["results", "export", archive, "--results", runs], {}),
    ):
        assert call(words, nothing, environment, folder).status == 0
    return [
        Case("run", run_out, [*run_out, "--retry-failed"], environment=run.environment, **ways),
        Case("train", train_out, **ways),
        Case("train, its data", train_out, fails=data, **ways),
        Case("released", [*released.words, *out], **ways),
        Case("released, its checkpoint", [*released.words, *out], fails=str(folder / "checkpoint.pth.tar"), **ways),
        Case("synth", ["data", "synth", *out, *size], ["data", "verify", "{out}"], left=_files, whole=_half_data),
        Case("verify data", ["data", "verify", data], fails=data),
        Case("export", export, fails="{out}/..", whole=_half_archive),
        Case("export, its runs", export, fails=runs, whole=_half_archive),
        Case("import", ["results", "import", archive, "--results", "{out}"], **ways),
        Case("verify", ["verify", "--results", runs], fails=runs),
        Case("report", ["report", "--results", runs, *out], whole=_half_page),
        Case("report, its runs", ["report", "--results", runs, *out], fails=runs, whole=_half_page),
        Case("figure", ["figure", "2", *out]),
    ]


def _half_runs(out: Path) -> str:
    for record in RunStore(out).records():
        try:
            open_checked(record.folder)
        except (InputError, OSError) as error:
            return f"{record.folder.name}: {error}"
    return ""


def _half_data(out: Path) -> str:
    """Say what is wrong with a data set, where there is one under its final name."""
    if not out.exists():
        return ""
    try:
        problems = [problem for report in verify(out) for problem in report.problems if problem.severity == "error"]
    except InputError as error:
        return str(error)
    return str(problems[0]) if problems else ""


def _files(out: Path) -> Content:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def _half_archive(out: Path) -> str:
    archive = out.with_name(f"{out.name}.tar.gz")
    if not archive.exists():
        return ""
    try:
        with tempfile.TemporaryDirectory() as folder:
            import_runs(RunStore(Path(folder) / "runs"), archive)
    except InputError as error:
        return str(error)
    return ""


def _half_page(out: Path) -> str:
    pages = [path for path in out.rglob("*.html") if not path.read_bytes().rstrip().endswith(b"</html>")]
    return f"{pages[0].name} is half a page" if pages else ""


def disturb(case: Case, out: Path, fault: Fault, calm: Content) -> dict[str, Any]:
    """Run a command under a fault, then without one; return what was not as it should be."""
    ended = call(case.line(out), fault, case.environment, out.parent)
    wrong = list(faults_of(ended))
    if half := case.whole(out):
        wrong.append(f"half written: {half}")
    again = call(case.next_line(out, ended.status), replace(fault, first=0), case.environment, out.parent)
    if again.status:
        wrong.append(f"afterwards status {again.status}: {_last(again.printed)}")
    left = case.left(out)
    if lost := [name for name in calm if name not in left]:
        wrong.append(f"lost {lost[0]}")
    elif changed := [name for name in calm if left[name] != calm[name]]:
        wrong.append(f"changed {changed[0]}")
    if fault.many == 1 and (tmp := list(out.rglob(f".*{PASSED_ON}"))):
        wrong.append(f"left behind {tmp[0].name}")
    return {
        "command": case.name,
        "fault": fault.text(),
        "status": ended.status,
        "said": _last(ended.printed),
        "wrong": wrong,
    }


def faults_of(ended: Ending) -> Iterator[str]:
    """Yield what a user could not bear about the way a command left."""
    if "Traceback (most recent" in ended.printed:
        yield f"a traceback: {_last(ended.printed)}"
    if ended.status not in LEAVES:
        yield f"status {ended.status}"
    if ended.status == 2 and "error:" not in ended.printed and "Error:" not in ended.printed:
        yield f"status 2 without an error: {_last(ended.printed)}"


def _last(printed: str) -> str:
    lines = [line for line in printed.splitlines() if line.strip()]
    named = [line for line in lines if line.lstrip().lower().startswith("error:")]
    return (named or lines or [""])[-1][:300]


def faults(folder: Path, count: int, seconds: float, seed: int, names: list[str]) -> dict[str, Any]:
    """Let commands meet faults in turn until there were `count` or the time is up."""
    rng, end = random.Random(seed), time.monotonic() + seconds
    chosen = [case for case in cases(folder) if not names or case.name in names]
    calls: dict[tuple[str, int, int], int] = {}
    calm: dict[str, Content] = {}
    met: list[dict[str, Any]] = []
    number = 0
    while len(met) < count and time.monotonic() < end:
        case = chosen[number % len(chosen)]
        number += 1
        out = folder / "out" / str(number) / "o"
        out.parent.mkdir(parents=True)
        kinds = [(error, 0) for error in KINDS] + [(0, jump_s) for jump_s in JUMPS_S]
        error, jump_s = rng.choice(kinds)
        fault = Fault(error, 0, case.folder(out), jump_s)
        if (case.name, error, jump_s) not in calls:
            ended = call(case.line(out), fault, case.environment, out.parent)
            assert ended.status == 0, ended.printed
            calls[case.name, error, jump_s], calm[case.name] = ended.calls, case.left(out)
            shutil.rmtree(out, ignore_errors=True)
        if not (most := calls[case.name, error, jump_s]):
            continue
        fault = replace(fault, first=rng.randint(1, most))
        met.append(disturb(case, out, fault, calm[case.name]))
        shutil.rmtree(out.parent)
        if met[-1]["wrong"]:
            print(met[-1], flush=True)
    return {
        "faults": len(met),
        "by_command": dict(Counter(row["command"] for row in met)),
        "by_error": dict(Counter(row["fault"].partition(" ")[0] for row in met)),
        "statuses": dict(Counter(str(row["status"]) for row in met)),
        "wrong": [row for row in met if row["wrong"]],
    }


def main() -> int:
    preloaded(["-m", "benchmarks.disk_faults", *sys.argv[1:]])
    parser = skeleton.parser(__doc__)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=1200.0, help="start no more after them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", nargs="*", default=[], metavar="NAME")
    options = parser.parse_args()
    with workplace(False) as folder:
        report = faults(folder, options.faults, options.seconds, options.seed, options.commands)
    print(report)
    skeleton.write(options.out, {"schema": "tal-repro/bench-disk-faults/1", **report})
    return int(bool(report["wrong"]))


if __name__ == "__main__":
    sys.exit(main())
